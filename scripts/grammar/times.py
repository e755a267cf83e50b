"""Measures llguidance, xgrammar and outlines-core on the schemas and tokens that TestTimes of inference/grammar wrote (GRAMMAR_TIMES):
time to compile, and time to find the mask before each token, as processor time of one thread. One is left out if it
is not installed: python scripts/grammar/times.py FILE
"""

import json
import os
import sys
import time


def report(name, kind, values):
    values.sort()
    if not values:
        return
    at = lambda p: values[int(p * (len(values) - 1))] / 1000
    print(f"{name:10} {kind:7} {len(values):6}: p50 {at(0.5):.1f} µs, p90 {at(0.9):.1f}, p99 {at(0.99):.1f}, p99.9 {at(0.999):.1f}, most {at(1):.1f}")


def llguidance(data):
    import llguidance

    class Vocabulary:
        tokens = [bytes.fromhex(t) or b"\xff<%d>" % i for i, t in enumerate(data["tokens"])]
        special_token_ids = [i for i, t in enumerate(data["tokens"]) if not t]
        eos_token_id = data["end"]
        bos_token_id = None
        by_byte = {t[0]: i for i, t in enumerate(tokens) if len(t) == 1}

        def __call__(self, text):
            if isinstance(text, str):
                text = text.encode()
            return [self.by_byte[b] for b in text]

    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Vocabulary()))
    compiles, masks, refused = [], [], 0
    for item in data["items"]:
        began = time.process_time_ns()
        matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema(item["schema"]), log_level=0)
        compiles.append(time.process_time_ns() - began)
        if matcher.is_error():
            refused += 1
            continue
        for token in item["tokens"]:
            began = time.process_time_ns()
            matcher.compute_bitmask()
            masks.append(time.process_time_ns() - began)
            if not matcher.consume_token(token):
                refused += 1
                break
    report("llguidance", "compile", compiles)
    report("llguidance", "mask", masks)
    print(f"llguidance: {refused} of {len(data['items'])} refused, or their texts")


def xgrammar(data):
    import xgrammar

    info = xgrammar.TokenizerInfo([bytes.fromhex(t) for t in data["tokens"]], xgrammar.VocabType.RAW, stop_token_ids=[data["end"]])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)
    bitmask = xgrammar.allocate_token_bitmask(1, len(data["tokens"]))
    compiles, masks, refused = [], [], 0
    for item in data["items"]:
        began = time.process_time_ns()
        try:
            grammar = compiler.compile_json_schema(item["schema"], any_whitespace=True, strict_mode=False)
        except Exception:
            refused += 1
            continue
        compiles.append(time.process_time_ns() - began)
        matcher = xgrammar.GrammarMatcher(grammar)
        for token in item["tokens"]:
            began = time.process_time_ns()
            matcher.fill_next_token_bitmask(bitmask)
            masks.append(time.process_time_ns() - began)
            if not matcher.accept_token(token):
                refused += 1
                break
    report("xgrammar", "compile", compiles)
    report("xgrammar", "mask", masks)
    print(f"xgrammar: {refused} of {len(data['items'])} refused, or their texts")


def outlines_core(data):
    """Its index of a schema is one of all states and tokens, so that a mask is a look-up; OUTLINES_SCHEMAS says of how many."""
    import outlines_core
    from outlines_core.json_schema import build_regex_from_schema

    tokens = {}
    for i, t in enumerate(data["tokens"]):
        if t and i != data["end"]:
            tokens.setdefault(bytes.fromhex(t), []).append(i)
    vocabulary = outlines_core.Vocabulary(data["end"], tokens)
    compiles, masks, refused = [], [], 0
    items = data["items"][: int(os.environ.get("OUTLINES_SCHEMAS", "10"))]
    for item in items:
        began = time.process_time_ns()
        try:
            guide = outlines_core.Guide(outlines_core.Index(build_regex_from_schema(item["schema"]), vocabulary))
        except Exception:
            refused += 1
            continue
        compiles.append(time.process_time_ns() - began)
        for token in item["tokens"]:
            began = time.process_time_ns()
            allowed = guide.get_tokens()
            masks.append(time.process_time_ns() - began)
            if token not in allowed:
                refused += 1
                break
            guide.advance(token)
    report("outlines_core", "compile", compiles)
    report("outlines_core", "mask", masks)
    print(f"outlines_core: {refused} of {len(items)} refused, or their texts")


data = json.load(open(sys.argv[1]))
for judge in llguidance, xgrammar, outlines_core:
    try:
        judge(data)
    except ImportError as e:
        print(f"{judge.__name__} is not installed: {e}")
