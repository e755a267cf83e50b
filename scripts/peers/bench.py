"""Measures Sluice beside its peers: one machine, one model, the same prompts and lengths, interleaved rounds.

    make bench-peers                                  # or, for options:
    python scripts/peers/bench.py [--rounds 5] [--peers sluice,llama] [--workloads chat,prefill] [--quick]

The first run installs the peers into $SLUICE_HOME/peers, which takes gigabytes and, for llama.cpp, a compiler and
minutes; later runs find them there. A peer that does not install is a row that says why. It prints Markdown, and writes
the same to --out and every single figure to --json.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys

import install
import machine
import table
import weights
from peers import Failed, Setup, Workload, all_peers

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WORKLOADS = {
    "chat": [
        Workload("1 stream", 128, 128, 1, 4),
        Workload("8 streams", 128, 128, 8, 2),
        Workload("16 streams", 128, 128, 16, 2),
    ],
    "prefill": [
        Workload("prefill of 512", 512, 1, 1, 6),
        Workload("prefill of 16 × 128", 128, 1, 16, 2),
    ],
    "long": [
        Workload("context 1024, 1 stream", 1024, 64, 1, 2),
        Workload("context 1024, 8 streams", 1024, 64, 8, 1),
    ],
    # Alone, so that the peak of memory is that of this load: a server is made for the greatest of its workloads.
    "memory": [Workload("16 streams of 1024 tokens", 896, 128, 16, 1)],
}
QUICK = [Workload("1 stream", 32, 16, 1, 2), Workload("4 streams", 32, 16, 4, 1), Workload("prefill of 64", 64, 1, 1, 2)]


def parse():
    home = os.environ.get("SLUICE_HOME") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "sluice"
    )
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sluice", default=os.path.join(ROOT, "bin", "sluice"), help="the program")
    parser.add_argument("--sluice-model", action="append", metavar="NAME=DIR", help="model folder to serve; repeatable, the first is what ratios are to")
    parser.add_argument("--gguf", help="the model of the peers; default the cache's")
    parser.add_argument("--peers", help="parts of the names of those to measure, by comma; default all")
    parser.add_argument("--workloads", default="chat,prefill,long", help="of chat, prefill, long, memory, by comma")
    parser.add_argument("--rates", default="", help="arrivals a second for an open loop over the servers, by comma")
    parser.add_argument("--slo-ttft", default="1s", help="what goodput asks for in the open loop")
    parser.add_argument("--slo-itl", default="0s", help="as above; 0s: nothing")
    parser.add_argument("--requests", type=int, default=100, help="requests of each rate")
    parser.add_argument("--quick", action="store_true", help="short lengths and few requests, to see that it works")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one measurement")
    parser.add_argument("--quality", metavar="TEXT", help="also say how far the weights are from float32 on this text of 12,288 tokens or more")
    parser.add_argument("--busy", type=float, default=0.25, help="cores that others may keep busy: what was measured beside more is measured again")
    parser.add_argument("--repeats", type=int, default=2, help="how often; the calmest counts")
    parser.add_argument("--patience", type=float, default=60, help="seconds to wait before a measurement until no more cores are busy than that")
    parser.add_argument("--install-only", action="store_true")
    parser.add_argument("--out", help="file for the Markdown")
    parser.add_argument("--json", help="file for all figures")
    args = parser.parse_args()
    args.home = home
    return args


def chosen_workloads(args):
    if args.quick:
        workloads = list(QUICK)
    else:
        workloads = [w for name in filter(None, args.workloads.split(",")) for w in WORKLOADS[name]]
    for rate in filter(None, args.rates.split(",")):
        workloads.append(Workload(f"{rate} requests/s", 161, 338, 32, args.requests, float(rate)))
    return workloads


def chosen_peers(args):
    models = args.sluice_model or ["Sluice=" + os.path.join(args.home, "models", "smollm2-135m-instruct")]
    peers = all_peers([tuple(m.split("=", 1)) for m in models])
    if args.peers:
        wanted = args.peers.lower().split(",")
        peers = [p for p in peers if any(w in p.name.lower() for w in wanted)]
    return peers


def calmest(args, measure, workload, number):
    """Measures, again if others had the machine, and returns the measurement that was disturbed least."""
    best = None
    for repeat in range(args.repeats + 1):
        machine.wait_for_calm(args.busy, args.patience)
        # No server sees the same prompts twice.
        figures = measure(workload, 1 + number * (args.repeats + 1) + repeat)
        if best is None or (figures["foreign_cores"] or 0) < (best["foreign_cores"] or 0):
            best = figures
        if (figures["foreign_cores"] or 0) <= args.busy:
            break
    return best


def measure_all(args, setup, peers, workloads, results, failures):
    """Measures every peer in each round, each round beginning with another one. Ctrl-C keeps what there is."""
    for number in range(args.rounds):
        shift = number % max(len(peers), 1)
        for peer in peers[shift:] + peers[:shift]:
            if (peer.name, None) in failures:
                continue
            try:
                with peer.running(setup) as measure:
                    for workload in workloads:
                        if not peer.takes(workload) or (peer.name, workload.name) in failures:
                            continue
                        print(f"round {number + 1}: {peer.name}, {workload.name}", file=sys.stderr, flush=True)
                        try:
                            figures = calmest(args, measure, workload, number)
                        except Failed as e:
                            failures[peer.name, workload.name] = str(e)
                            continue
                        results.append({"peer": peer.name, "round": number + 1, "workload": workload.name, **figures})
            except (Failed, OSError) as e:
                failures[peer.name, None] = str(e)


def main():
    args = parse()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends servers as Ctrl-C does
    store = install.Store(os.path.join(args.home, "peers"), os.path.abspath(args.gguf or install.default_gguf(args.home)))
    workloads, peers = chosen_workloads(args), chosen_peers(args)
    failures: dict[tuple[str, str | None], str] = {}
    results: list[dict] = []
    for peer in peers:
        try:
            peer.install(store)
        except install.NotInstalled as e:
            failures[peer.name, None] = str(e)
            print(f"{peer.name} is not installed: {e}", file=sys.stderr)
    if args.install_only:
        return
    setup = Setup(
        store=store,
        sluice=os.path.abspath(args.sluice),
        threads=args.threads,
        slots=max(w.streams for w in workloads),
        context=max(2048 if w.rate else w.prompt + w.answer for w in workloads),
        timeout=args.timeout,
        objectives=("--slo-ttft", args.slo_ttft, "--slo-itl", args.slo_itl),
    )
    quality: list[dict] = []
    try:
        if args.quality:
            quality = weights.measure(setup, peers, os.path.abspath(args.quality), failures)
        measure_all(args, setup, peers, workloads, results, failures)
    except KeyboardInterrupt:
        print("interrupted: these are the figures until then", file=sys.stderr)
    version = subprocess.run([setup.sluice, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    report = {
        "machine": machine.describe(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "rounds": args.rounds,
        "threads": args.threads,
        "versions": {"sluice": version.removeprefix("sluice "), **install.VERSIONS},
    }
    text = table.document(report, peers, workloads, results, quality, failures)
    print(text)
    if args.out:
        with open(args.out, "w", encoding="utf-8") as f:
            f.write(text)
    if args.json:
        report["failures"] = [{"peer": p, "workload": w, "reason": r} for (p, w), r in failures.items()]
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({**report, "quality": quality, "results": results}, f, indent=2)


if __name__ == "__main__":
    main()
