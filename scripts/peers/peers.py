"""The peers: how each is installed and how it is put under load."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, replace

import install
from machine import Usage

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = 49152  # of the default model: all peers get the same ids


@dataclass(frozen=True)
class Workload:
    """What is asked: streams at once, each with so many requests one after the other. rate: arrivals a second instead."""

    name: str
    prompt: int
    answer: int
    streams: int
    each: int
    rate: float = 0.0

    @property
    def prefill(self):
        """Whether the figure is prompt tokens a second: the answers are of one token."""
        return self.answer == 1


@dataclass(frozen=True)
class Setup:
    """What all measurements have in common."""

    store: install.Store
    sluice: str  # the program
    threads: int
    slots: int  # the most streams of any workload
    context: int  # the most tokens that a request has
    timeout: float
    objectives: tuple[str, ...] = ()  # of the open loop, as options of `sluice bench`


class Failed(Exception):
    """A measurement that did not come to an end, with the reason in one line."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def serving(name, setup, command, health, env=None):
    """Runs a server until the block ends; it is ready when health answers 200."""
    log = setup.store.path("logs", f"{name}.log")
    with open(log, "a", encoding="utf-8") as out:
        print("$", *command, file=out, flush=True)
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
    try:
        deadline = time.monotonic() + 600
        while True:
            if process.poll() is not None:
                raise Failed(f"the server ended with {process.returncode}: {last_line(log)} (see {log})")
            if time.monotonic() > deadline:
                raise Failed(f"the server is not ready after 10 minutes (see {log})")
            with contextlib.suppress(urllib.error.URLError, OSError):
                with urllib.request.urlopen(health, timeout=5):
                    break
            time.sleep(0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # the server's own group
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def last_line(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = [line.strip() for line in f if line.strip()]
    return lines[-1][:200] if lines else "no output"


def load(setup, workload, seed, pid, *where):
    """Puts a running server under load with `sluice bench`."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [setup.sluice, "bench", "--seed", str(seed), "--json", out.name, "--prompts", "ids", *where]
        command += ["--vocabulary", str(VOCABULARY), "--log-level", "error"]
        if workload.rate:
            command += ["--rate", str(workload.rate), "--requests", str(workload.each), "--mix", "sharegpt-like"]
            command += setup.objectives
        else:
            command += ["--concurrency", str(workload.streams), "--requests", str(workload.streams * workload.each)]
        command += ["--prompt-tokens", str(workload.prompt), "--max-tokens", str(workload.answer)]
        usage = Usage(pid)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=setup.timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {setup.timeout:g} s") from None
        foreign, rss = usage.foreign(), usage.peak_rss()
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["sluice bench failed"])[0][:200])
        level = json.load(out)["levels"][0]
    total, output = level["total_tokens_per_s"], level["output_tokens_per_s"]
    return {
        "tokens_per_s": total - output if workload.prefill else output,
        "ttft_ms": level["ttft_ms"]["p50"],
        "ttft_p95_ms": level["ttft_ms"]["p95"],
        "itl_ms": level["itl_ms"]["p50"] or None,
        "e2e_p95_ms": level["e2e_ms"]["p95"],
        "goodput_per_s": level["goodput_requests_per_s"],
        "rss_mb": rss,
        "failed": level["failed"],
        "short": level["short"],
        "foreign_cores": foreign,
    }


def in_process(setup, workload, seed, command):
    """Runs a program that makes one static batch of a workload's prompts, and reads the JSON line that it prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as prompts:
        subprocess.run(
            [setup.sluice, "bench", "--print-requests", str(workload.streams), "--vocabulary", str(VOCABULARY),
             "--seed", str(seed), "--prompt-tokens", str(workload.prompt), "--max-tokens", str(workload.answer)],
            stdout=prompts, check=True,
        )  # fmt: skip
        command = [*command, "--prompts", prompts.name, "--batch", str(workload.streams), "--answer", str(workload.answer)]
        command += ["--runs", str(workload.each), "--threads", str(setup.threads)]
        usage = Usage()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=setup.timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {setup.timeout:g} s") from None
        foreign = usage.foreign()
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["no output"])[-1][:200])
        line = json.loads(done.stdout.strip().splitlines()[-1])
    return {
        "tokens_per_s": line["prompt_tokens_per_second"] if workload.prefill else line["tokens_per_second"],
        "ttft_ms": line["ttft_ms"],
        "itl_ms": line["itl_ms"],
        "rss_mb": line["rss_mb"],
        "foreign_cores": foreign,
    }


class Peer:
    """A program to measure. The open loop is for servers."""

    name = weights = through = ""
    server = True

    def install(self, store):
        """Raises install.NotInstalled."""

    @contextlib.contextmanager
    def running(self, setup):
        """Yields a function (workload, seed) → figures; raises Failed."""
        raise NotImplementedError

    def takes(self, workload):
        return self.server or not workload.rate


class Sluice(Peer):
    through = "gRPC"

    def __init__(self, name, folder):
        self.name, self.weights, self.folder = name, "its folder's", folder
        with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, "sluice.json"), encoding="utf-8") as f:
            self.weights = json.load(f).get("quantization") or self.weights

    @contextlib.contextmanager
    def running(self, setup):
        grpc, http = free_port(), free_port()
        command = [setup.sluice, "serve", "--grpc-addr", f"127.0.0.1:{grpc}", "--http-addr", f"127.0.0.1:{http}"]
        command += ["--model", f"measured={self.folder}", "--device", f"cpu:threads={setup.threads}"]
        command += ["--slots", str(setup.slots), "--queue", "1024", "--drain-delay", "0s"]
        with serving("sluice", setup, command, f"http://127.0.0.1:{http}/readyz") as process:
            yield lambda workload, seed: load(setup, workload, seed, process.pid, "--addr", f"127.0.0.1:{grpc}")


class HTTPPeer(Peer):
    """A server that speaks OpenAI's protocol."""

    through = "HTTP"
    health = "/health"
    env: dict[str, str] | None = None
    warmup = -1  # as `sluice bench` sees fit

    def command(self, setup, port):
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self, setup):
        port = free_port()
        base = f"http://127.0.0.1:{port}"
        log = self.name.replace(" ", "-").replace(",", "").lower()
        with serving(log, setup, self.command(setup, port), base + self.health, self.env) as process:
            where = ["--protocol", "openai", "--url", base + "/v1", "--model", "measured", f"--warmup={self.warmup}"]
            where += ["--timeout", f"{setup.timeout:g}s"]
            yield lambda workload, seed: load(setup, workload, seed, process.pid, *where)


class Llama(Peer):
    """llama.cpp with the GGUF as it is or rounded to Q4_0, for which it has its fastest kernels."""

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

    def command(self, setup, port):
        # No two prompts are alike, so a cache of prompts in memory would only cost.
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
            speed = workload.streams * workload.answer / line["t"]
            return {
                "tokens_per_s": line["speed_pp"] if workload.prefill else speed,
                "ttft_ms": line["t_pp"] * 1e3,
                "itl_ms": None if workload.prefill else line["t_tg"] * 1e3 / workload.answer,
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
        command = [python, os.path.join(HERE, "genai_bench.py"), model]
        yield lambda workload, seed: in_process(setup, workload, seed, command)


class OpenVINO(Peer):
    name, weights, through, server = "openvino-genai", "from the GGUF", "in process", False

    def install(self, store):
        install.openvino_python(store)

    @contextlib.contextmanager
    def running(self, setup):
        command = [install.openvino_python(setup.store), os.path.join(HERE, "openvino_bench.py"), setup.store.gguf]
        yield lambda workload, seed: in_process(setup, workload, seed, command)


class Flask(HTTPPeer):
    """The article's server. It is slow, so one request warms it up, and each stream sends one."""

    name, weights, health, warmup = "transformers behind Flask", "float32", "/v1/models", 1

    def install(self, store):
        install.torch_python(store)

    def command(self, setup, port):
        python, script = install.torch_python(setup.store), os.path.join(HERE, "flask_server.py")
        return [python, script, setup.store.gguf, "--port", str(port), "--threads", str(setup.threads)]

    def takes(self, workload):
        return not workload.rate

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


def all_peers(sluices):
    """Sluice first: it is what the ratios are to."""
    return [
        *(Sluice(name, folder) for name, folder in sluices),
        LlamaServer("Q4_0"),
        LlamaServer("Q4_1"),
        LlamaBatchedBench("Q4_0"),
        GenAI(),
        OpenVINO(),
        VLLM(),
        Flask(),
    ]
