"""Putting load on a peer: on a server by `sluice bench`, on a program of ours in its own process by jobs."""

import contextlib
import json
import os
import random
import select
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

import install
from machine import Usage

HERE = os.path.dirname(os.path.abspath(__file__))
VOCABULARY = 49152  # of the default model: all peers get the same ids


@dataclass(frozen=True)
class Workload:
    """What is asked: streams at once, each with so many requests one after the other. rate: arrivals a second instead.

    decode: the prompts are sent once before, for one token each, so that a server has their keys and values, and what counts is
    how fast all streams decode. warm: the length of the answers of a run that programs of ours make before, to warm up.
    """

    name: str
    prompt: int
    answer: int
    streams: int
    each: int
    rate: float = 0.0
    decode: bool = False
    warm: int = 4

    @property
    def prefill(self):
        """Whether the figure is prompt tokens a second: the answers are of one token."""
        return self.answer == 1

    @property
    def figure(self):
        """The key of the speed that this is about."""
        if self.prefill:
            return "prompt_tokens_per_s"
        return "decode_tokens_per_s" if self.decode else "tokens_per_s"


@dataclass(frozen=True)
class Setup:
    """What all measurements have in common."""

    store: install.Store
    sluice: str  # the program
    threads: int
    slots: int  # the most streams of any workload
    context: int  # the most tokens that a request has
    timeout: float
    warm: bool = True  # a server that has just started, with one short request a slot
    keep: int = 0  # tokens of prompts that a server has to keep for workloads that decode; 0: as many as it does by itself
    ttft: float = 1.0  # seconds to the first token that goodput asks for


class Failed(Exception):
    """A measurement that did not come to an end, with the reason in one line."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def last_line(log):
    with open(log, encoding="utf-8", errors="replace") as f:
        lines = [line.strip() for line in f if line.strip()]
    return lines[-1][:200] if lines else "no output"


@contextlib.contextmanager
def ending(process):
    """Ends a process, which has a group of its own, with the block."""
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def serving(name, setup, command, health, env=None):
    """Runs a server until the block ends; it is ready when health answers 200."""
    log = setup.store.path("logs", f"{name}.log")
    with open(log, "a", encoding="utf-8") as out:
        print("$", *command, file=out, flush=True)
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
    with ending(process):
        deadline = time.monotonic() + setup.timeout
        while True:
            if process.poll() is not None:
                raise Failed(f"the server ended with {process.returncode}: {last_line(log)} (see {log})")
            if time.monotonic() > deadline:
                raise Failed(f"the server is not ready after {setup.timeout:g} s (see {log})")
            with contextlib.suppress(urllib.error.URLError, OSError):
                with urllib.request.urlopen(health, timeout=5):
                    break
            time.sleep(0.1)
        yield process


def bench(setup, seed, where, *options):
    """Runs `sluice bench` and returns the first load's figures."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [setup.sluice, "bench", "--seed", str(seed), "--json", out.name, "--prompts", "ids", *where]
        command += ["--vocabulary", str(VOCABULARY), "--log-level", "error", "--warmup", "0", *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=setup.timeout, check=False)
        except subprocess.TimeoutExpired:
            raise Failed(f"not done after {setup.timeout:g} s") from None
        if done.returncode:
            raise Failed((done.stderr.strip().splitlines() or ["sluice bench failed"])[0][:200])
        return json.load(out)["levels"][0]


def closed(streams, requests, prompt, answer):
    return ("--concurrency", str(streams), "--requests", str(requests), "--prompt-tokens", str(prompt), "--max-tokens", str(answer))


def load(setup, workload, seed, pid, *where):
    """Puts a running server under load."""
    before = prefilled = None
    if workload.decode:  # the same prompts as below: the same seed makes them, whatever the answers
        before = bench(setup, seed, where, *closed(workload.streams, workload.streams, workload.prompt, 1))
        prefilled = before["total_tokens_per_s"] - before["output_tokens_per_s"]
    usage = Usage(pid)
    if workload.rate:
        level = bench(
            setup, seed, where, "--rate", f"{workload.rate:g}", "--requests", str(workload.each), "--mix", "sharegpt-like",
            "--prompt-tokens", str(workload.prompt), "--max-tokens", str(workload.answer), "--slo-ttft", f"{setup.ttft:g}s",
        )  # fmt: skip
    else:
        requests = workload.streams * workload.each
        level = bench(setup, seed, where, *closed(workload.streams, requests, workload.prompt, workload.answer))
    total, output = level["total_tokens_per_s"], level["output_tokens_per_s"]
    figures = {
        "tokens_per_s": output,
        "prompt_tokens_per_s": prefilled or (total - output if workload.prefill else None),
        "decode_tokens_per_s": level.get("decode_tokens_per_s"),
        "ttft_ms": level["ttft_ms"]["p50"],
        "ttft_p95_ms": level["ttft_ms"]["p95"],
        "itl_ms": level["itl_ms"]["mean"] or None,  # the median of tokens that come several at a time would be nothing
        "itl_p95_ms": level["itl_ms"]["p95"] or None,
        "e2e_p95_ms": level["e2e_ms"]["p95"],
        "goodput_per_s": level["goodput_requests_per_s"],
        "requests": level["sent"],
        "rss_mb": usage.peak_rss(),
        "failed": level["failed"],
        "short": level["short"],
        "foreign_cores": usage.foreign(),
    }
    if before:  # what the server was spared this time is no figure of its own
        figures |= {"tokens_per_s": None, "e2e_p95_ms": None, "ttft_ms": before["ttft_ms"]["p50"], "ttft_p95_ms": before["ttft_ms"]["p95"]}
    return figures


def warm_up(setup, *where):
    """Lets a server that has just started run every slot once."""
    if setup.warm:
        bench(setup, 999983, where, *closed(setup.slots, setup.slots, 64, 8))


def dues(seed, rate, requests):
    """Returns the moments of Poisson arrivals, in seconds."""
    source, at, moments = random.Random(seed), 0.0, []
    for _ in range(requests):
        at += source.expovariate(rate)
        moments.append(at)
    return moments


class Worker:
    """A program of ours that runs a peer in its own process (jobs.py)."""

    def __init__(self, setup, process):
        self.setup, self.process = setup, process
        self.ask(None)  # it says when it is ready

    def ask(self, job):
        if job is not None:
            try:
                self.process.stdin.write(json.dumps(job).encode() + b"\n")
                self.process.stdin.flush()
            except OSError:
                raise Failed(f"it ended with {self.process.wait()}") from None
        if not select.select([self.process.stdout], [], [], self.setup.timeout)[0]:
            raise Failed(f"not done after {self.setup.timeout:g} s")
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"it ended with {self.process.wait()}")
        return json.loads(line)

    def measure(self, workload, seed):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as prompts:
            n = workload.each if workload.rate else workload.streams
            command = [self.setup.sluice, "bench", "--print-requests", str(n), "--vocabulary", str(VOCABULARY), "--prompts", "ids"]
            command += ["--seed", str(seed), "--prompt-tokens", str(workload.prompt), "--max-tokens", str(workload.answer)]
            subprocess.run(command + (["--mix", "sharegpt-like"] if workload.rate else []), stdout=prompts, check=True)
            job = {"prompts": prompts.name, "answer": workload.answer, "runs": 1 if workload.streams > 1 else workload.each}
            job["warm"] = min(workload.warm, workload.answer)
            if workload.rate:
                job |= {"dues": dues(seed, workload.rate, n), "ttft": self.setup.ttft}
            usage = Usage(self.process.pid)
            figures = self.ask(job)
        return {**figures, "rss_mb": usage.peak_rss(), "foreign_cores": usage.foreign()}


@contextlib.contextmanager
def working(name, setup, command):
    """Runs a program of jobs until the block ends, and yields how it measures."""
    log = setup.store.path("logs", f"{name}.log")
    with open(log, "a", encoding="utf-8") as errors:
        print("$", *command, file=errors, flush=True)
        process = subprocess.Popen(
            [*command, "--jobs", "--threads", str(setup.threads), "--sequences", str(setup.slots)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
        )  # fmt: skip
    with ending(process):
        try:
            yield Worker(setup, process).measure
        except Failed as e:
            raise Failed(f"{e}: {last_line(log)}") from None
