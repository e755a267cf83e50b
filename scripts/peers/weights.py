"""How far each peer's form of the weights is from float32: a speed means little without it."""

import json
import os
import subprocess
import sys
import tempfile

import install
from figures import GEMMA
from peers import GenAI, Llama, OpenVINO, Peer, Sluice

SCRIPT = os.path.join(install.HERE, "quality.py")
LENGTH = 512
WINDOWS = {"": 24, GEMMA: 8}  # by model: a vocabulary of 262,144 takes a gigabyte for four
BEGINS = {"": [], GEMMA: ["--bos", "2"]}  # llama.cpp begins a window with this token, where its file has the text's


def measure(setup, peers, text, ledger):
    """Returns a dictionary for each form of weights; what fails is noted in the ledger."""
    found: list[dict] = []
    with tempfile.TemporaryDirectory(dir=setup.store.root) as work:  # gigabytes: not everybody's /tmp takes them
        forms: dict[tuple, Peer] = {}  # one peer of each form
        for peer in peers:
            kind = next((k for k in (Sluice, Llama, GenAI, OpenVINO) if isinstance(peer, k)), None)
            if kind:
                forms.setdefault((kind, peer.weights, getattr(peer, "folder", None)), peer)
        try:
            reference(setup, work, text)
        except (install.NotInstalled, Failed) as e:
            ledger.fail("the reference of quality", None, str(e), setup.store.model)
            return found
        for (kind, _, _), peer in forms.items():
            print(f"quality: {peer.name}", file=sys.stderr, flush=True)
            try:
                found.append({"peer": peer.name, "weights": peer.weights, **one(setup, work, text, kind, peer)})
            except (install.NotInstalled, Failed) as e:
                ledger.fail(f"quality of {peer.name}", None, str(e), setup.store.model)
    return found


class Failed(Exception):
    """A judgement that did not come to an end, with the reason in one line."""


def logits(setup, work, text, model):
    """Runs llama.cpp over the text and returns the file of its log-probabilities."""
    out = os.path.join(work, "logits")
    program = os.path.join(install.llama_cpp(setup.store), "llama-perplexity")
    setup.store.run(
        "quality", program, "-m", model, "-f", text, "-c", str(LENGTH), "--chunks", str(WINDOWS[setup.store.model]),
        "-t", str(setup.threads), "--kl-divergence-base", out,
    )  # fmt: skip
    return out


def judge(setup, work, python, mode, model, *options):
    command = [python, SCRIPT, mode, model, "--work", work, "--threads", str(setup.threads), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed((done.stderr.strip().splitlines() or ["no output"])[-1][:200])
    return done.stdout


def reference(setup, work, text):
    """Takes llama.cpp's tokens of the text, and the float32 predictions for them."""
    python = install.genai_python(setup.store)
    judge(setup, work, python, "tokens", logits(setup, work, text, setup.store.gguf), *BEGINS[setup.store.model])
    judge(setup, work, python, "reference", install.checkpoint(setup.store))


def one(setup, work, text, kind, peer):
    python = install.genai_python(setup.store)
    if kind is Sluice:
        answer = judge(setup, work, python, "sluice", peer.folder)
    elif kind is GenAI:
        answer = judge(setup, work, python, "genai", install.genai_model(setup.store))
    elif kind is OpenVINO:
        python = install.openvino_python(setup.store)
        answer = judge(setup, work, python, "openvino", peer.model(setup.store))
    else:
        answer = judge(setup, work, python, "llama", logits(setup, work, text, peer.model(setup.store)))
    return json.loads(answer.strip().splitlines()[-1])
