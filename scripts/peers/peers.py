"""The peers: how each is installed and how it is put under load."""

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, replace

import install
from load import HERE, Failed, free_port, load, serving, warm_up, working
from machine import Usage

class Peer:
    """A program to measure. The open loop is for servers."""

    name = weights = through = ""
    # server: takes an open loop; alone: its peak of memory is known; slow: measured in one round of all.
    server = alone = True
    slow = False

    def install(self, store):
        """Raises install.NotInstalled."""

    @contextlib.contextmanager
    def running(self, setup):
        """Yields a function (workload, seed) → figures; raises Failed."""
        raise NotImplementedError

    def takes(self, workload):
        return self.server or not workload.rate


KV_BYTES = 24 << 10  # of a token of the default model, and a little more


@dataclass(frozen=True)
class Variant:
    """A way to run Sluice: the form of the weights, as arguments of `sluice convert --quantize`, and flags of `sluice serve`.

    slow: measured in the first of the rounds, and in no other stage.
    """

    name: str
    form: str = "auto"
    flags: tuple[str, ...] = ()
    slow: bool = False


# To measure another one, add a line; a form that is not in figures.KL has no KL in the tables.
PLAIN, NO_SPECULATION = Variant("Sluice"), Variant("Sluice, no speculation", flags=("--no-speculation",))
VARIANTS = [PLAIN, NO_SPECULATION, Variant("Sluice row8, no speculation", "row8", ("--no-speculation",))]
GEMMA_VARIANTS = [PLAIN, NO_SPECULATION]


class Sluice(Peer):
    """Sluice, of a folder that is there, or of one that install makes in a form of the weights."""

    through = "gRPC"

    def __init__(self, name, folder, *flags, form="auto", slow=False):
        self.name, self.folder, self.flags, self.form, self.slow = name, folder, flags, form, slow

    def install(self, store):
        self.folder = self.folder or install.sluice_model(store, self.form)

    @property
    def weights(self):
        with contextlib.suppress(OSError, ValueError), open(os.path.join(self.folder, "sluice.json"), encoding="utf-8") as f:
            return json.load(f).get("quantization") or self.form
        return self.form

    @contextlib.contextmanager
    def serving(self, setup, *flags):
        """Yields the server's process and address."""
        grpc, http = free_port(), free_port()
        command = [setup.sluice, "serve", "--grpc-addr", f"127.0.0.1:{grpc}", "--http-addr", f"127.0.0.1:{http}"]
        command += ["--model", f"measured={self.folder}", "--slots", str(setup.slots), "--queue", "1024", "--drain-delay", "0s"]
        if setup.keep:
            command += ["--prefix-cache-bytes", str(setup.keep * KV_BYTES)]
        if "--device" not in self.flags:
            command += ["--device", f"cpu:threads={setup.threads}"]
        with serving("sluice", setup, [*command, *self.flags, *flags], f"http://127.0.0.1:{http}/readyz") as process:
            yield process, f"127.0.0.1:{grpc}"

    @contextlib.contextmanager
    def running(self, setup):
        with self.serving(setup) as (process, address):
            warm_up(setup, "--addr", address)
            yield lambda workload, seed: load(setup, workload, seed, process.pid, "--addr", address)


class HTTPPeer(Peer):
    """A server that speaks OpenAI's protocol."""

    through = "HTTP"
    health = "/health"
    env: dict[str, str] | None = None

    def command(self, setup, port):
        raise NotImplementedError

    def warm(self, setup, where):
        warm_up(setup, *where)

    @contextlib.contextmanager
    def running(self, setup):
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        log = self.name.replace(" ", "-").replace(",", "").lower()
        with serving(log, setup, self.command(setup, port), base + self.health, self.env) as process:
            where = ["--protocol", "openai", "--url", base + "/v1", "--model", "measured", "--timeout", f"{setup.timeout:g}s"]
            self.warm(setup, where)
            yield lambda workload, seed: load(setup, workload, seed, process.pid, *where)


class Llama(Peer):
    """llama.cpp with the GGUF as it is, or rounded to Q4_0, for which it has its fastest kernels."""

    def __init__(self, weights, program):
        self.name, self.weights = f"llama.cpp {weights}, {program}", weights

    def model(self, store):
        return install.llama_q4_0(store) if self.weights == "Q4_0" else store.gguf

    def install(self, store):
        install.llama_cpp(store)
        self.model(store)


class LlamaServer(Llama, HTTPPeer):
    def __init__(self, weights):
        super().__init__(weights, "llama-server")
        self.slow = weights != "Q4_0"

    def command(self, setup, port):
        # A slot keeps its own last prompt; no two are alike otherwise, so a cache of prompts in memory would only cost.
        return [
            os.path.join(install.llama_cpp(setup.store), "llama-server"), "-m", self.model(setup.store),
            "-t", str(setup.threads), "-tb", str(setup.threads), "-np", str(setup.slots),
            "-c", str(setup.slots * (setup.context + 64)), "--cache-ram", "0",
            "--host", "127.0.0.1", "--port", str(port), "--no-ui", "--alias", "measured",
        ]  # fmt: skip


class LlamaBatchedBench(Llama):
    """llama.cpp's own benchmark: equal prompts and answers, no server, no sampling."""

    through, server = "in process", False

    def __init__(self, weights):
        super().__init__(weights, "llama-batched-bench")

    @contextlib.contextmanager
    def running(self, setup):
        program = os.path.join(install.llama_cpp(setup.store), "llama-batched-bench")

        def measure(workload, _seed):
            tokens = workload.streams * (workload.prompt + workload.answer)
            command = [program, "-m", self.model(setup.store), "-t", str(setup.threads), "-tb", str(setup.threads)]
            command += ["-c", str(max(tokens, 512)), "-npp", str(workload.prompt), "-ntg", str(workload.answer)]
            command += ["-npl", str(workload.streams), "--output-format", "jsonl"]
            usage = Usage()
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=setup.timeout, check=False)
            except subprocess.TimeoutExpired:
                raise Failed(f"not done after {setup.timeout:g} s") from None
            lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
            if done.returncode or not lines:
                raise Failed(f"llama-batched-bench ended with {done.returncode}")
            line = json.loads(lines[-1])
            return {
                "tokens_per_s": workload.streams * workload.answer / line["t"],
                "prompt_tokens_per_s": line["speed_pp"],
                "decode_tokens_per_s": None if workload.prefill else line["speed_tg"],
                "ttft_ms": line["t_pp"] * 1e3,
                "itl_ms": None if workload.prefill else line["t_tg"] * 1e3 / workload.answer,
                "e2e_p95_ms": line["t"] * 1e3,
                "foreign_cores": usage.foreign(),
            }

        yield measure


class GenAI(Peer):
    name, weights, through, server = "onnxruntime-genai", "int4 (own builder)", "in process", False

    def install(self, store):
        install.genai_model(store)

    @contextlib.contextmanager
    def running(self, setup):
        python, model = install.genai_python(setup.store), install.genai_model(setup.store)
        with working("genai", setup, [python, os.path.join(HERE, "genai_bench.py"), model]) as measure:
            yield measure


class OpenVINO(Peer):
    """Its package has no server. In the open loop it takes requests as they are due, in its own process.

    It reads the GGUF itself, or a folder that optimum-intel made of the same values in a form ("int8", "int4").
    """

    through = "in process"

    def __init__(self, form=None):
        self.form = form
        self.name, self.weights = ("openvino-genai", "from the GGUF") if form is None else (f"openvino-genai {form}", f"{form} (optimum-intel)")

    def model(self, store):
        return install.openvino_gguf(store) if self.form is None else install.openvino_export(store, self.form)

    def install(self, store):
        install.openvino_python(store)
        self.model(store)

    @contextlib.contextmanager
    def running(self, setup):
        command = [install.openvino_python(setup.store), os.path.join(HERE, "openvino_bench.py"), self.model(setup.store)]
        with working("openvino", setup, command) as measure:
            yield measure


class Flask(HTTPPeer):
    """The article's server. It is slow, so one short request warms it up, and each stream sends one."""

    name, weights, health, slow = "transformers behind Flask", "float32", "/v1/models", True

    def install(self, store):
        install.torch_python(store)

    def command(self, setup, port):
        python, script = install.torch_python(setup.store), os.path.join(HERE, "flask_server.py")
        return [python, script, setup.store.gguf, "--port", str(port), "--threads", str(setup.threads)]

    def warm(self, setup, where):
        warm_up(replace(setup, slots=1), *where)

    def takes(self, workload):
        return not workload.rate and not workload.decode

    @contextlib.contextmanager
    def running(self, setup):
        with super().running(setup) as measure:
            yield lambda workload, seed: measure(replace(workload, each=1), seed)


class VLLM(HTTPPeer):
    name, weights = "vLLM, CPU build", "bfloat16"

    def install(self, store):
        install.vllm_python(store)
        install.checkpoint(store)

    def command(self, setup, port):
        cores = f"0-{setup.threads - 1}"
        self.env = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": cores, "OMP_NUM_THREADS": str(setup.threads)}
        python = install.vllm_python(setup.store)
        return [
            os.path.join(os.path.dirname(python), "vllm"), "serve", install.checkpoint(setup.store),
            "--served-model-name", "measured", "--host", "127.0.0.1", "--port", str(port), "--dtype", "bfloat16",
            "--max-num-seqs", str(setup.slots), "--max-model-len", str(max(setup.context + 64, 2048)),
        ]  # fmt: skip


def sluices(variants, folder=None):
    """Returns Sluice in its variants; folder is the model in the default form, if it is there already."""
    return [Sluice(v.name, folder if v.form == "auto" else None, *v.flags, form=v.form, slow=v.slow) for v in variants]


def all_peers(ours):
    """Sluice first: it is what the ratios are to."""
    return [
        *ours,
        LlamaServer("Q4_0"),
        LlamaServer("Q4_1"),
        LlamaBatchedBench("Q4_0"),
        GenAI(),
        OpenVINO(),
        VLLM(),
        Flask(),
    ]


def gemma_peers():
    """Those of Gemma 3 270M, whose GGUF is a Q4_K_M. OpenVINO reads no GGUF of Gemma's."""
    return [
        *sluices(GEMMA_VARIANTS),
        LlamaServer("Q4_K_M"),
        LlamaServer("Q4_0"),
        LlamaBatchedBench("Q4_0"),
        GenAI(),
        OpenVINO("int8"),
        OpenVINO("int4"),
    ]
