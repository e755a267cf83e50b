"""Runs the JSON-Schema-Test-Suite (draft 2020-12, the folder that suite.sh prints) or JSONSchemaBench (maskbench/data of
github.com/guidance-ai/jsonschemabench) through llguidance, xgrammar and outlines-core, as TestSuite and TestBench do through
Sluice: how many schemas compile, how many invalid values of these are taken, and how many valid ones. Names behind the folder
choose among the three.
"""

import glob
import json
import os
import signal
import sys

TOKENS = [bytes([b]) for b in range(256)] + [b"<end>"]


def llguidance():
    import llguidance

    class Vocabulary:
        tokens = TOKENS
        special_token_ids = [256]
        eos_token_id = 256
        bos_token_id = None

        def __call__(self, text):
            return list(text.encode() if isinstance(text, str) else text)

    tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Vocabulary()))

    def compile_schema(schema):
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema)
        if llguidance.LLMatcher(tokenizer, grammar, log_level=0).is_error():
            raise ValueError

        def takes(text):
            matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
            return all(matcher.consume_token(b) for b in text.encode()) and matcher.is_accepting()

        return takes

    return compile_schema


def xgrammar():
    import xgrammar

    info = xgrammar.TokenizerInfo(TOKENS, xgrammar.VocabType.RAW, stop_token_ids=[256])
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile_schema(schema):
        grammar = compiler.compile_json_schema(schema, any_whitespace=True, strict_mode=False)

        def takes(text):
            matcher = xgrammar.GrammarMatcher(grammar)
            return all(matcher.accept_token(b) for b in text.encode()) and matcher.accept_token(256)

        return takes

    return compile_schema


def outlines_core():
    import outlines_core
    from outlines_core.json_schema import build_regex_from_schema

    vocabulary = outlines_core.Vocabulary(256, {bytes([b]): [b] for b in range(256)})

    def compile_schema(schema):
        index = outlines_core.Index(build_regex_from_schema(schema), vocabulary)

        def takes(text):
            guide = outlines_core.Guide(index)
            for b in text.encode():
                if b not in guide.get_tokens():
                    return False
                guide.advance(b)
            return 256 in guide.get_tokens()

        return takes

    return compile_schema


def cases(folder):
    """The schemas of a folder with their values, as compact JSON; those of the bench as they are written."""
    for file in sorted(glob.glob(folder + "/*.json") + glob.glob(folder + "/optional/format/*.json")):
        content = json.load(open(file))
        for group in content if isinstance(content, list) else [content]:
            tests = [(json.dumps(t["data"], separators=(",", ":"), ensure_ascii=False), t["valid"]) for t in group.get("tests", [])]
            yield json.dumps(group["schema"]), tests


def judged(compile_schema, schema, tests):
    """What a judge says of the values, in a process of its own: none of them stops when it takes too long, and some panic.
    None: it does not compile the schema; "slow": that took more than LIMIT seconds."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(LIMIT)  # whose default ends the process
        try:
            takes = compile_schema(schema)
            answer = [takes(text) for text, _ in tests]
        except BaseException:  # a panic in Rust is no Exception
            answer = None
        os.write(into, json.dumps(answer).encode())
        os._exit(0)
    os.close(into)
    with os.fdopen(out) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else "slow"


LIMIT = 20
for judge in llguidance, xgrammar, outlines_core:
    if len(sys.argv) > 2 and judge.__name__ not in sys.argv[2:]:
        continue
    try:
        compile_schema = judge()
    except ImportError as e:
        print(f"{judge.__name__} is not installed: {e}")
        continue
    schemas = compiled = slow = wrong = invalid = valid = taken = 0
    for schema, tests in cases(sys.argv[1]):
        schemas += 1
        answers = judged(compile_schema, schema, tests)
        slow += answers == "slow"
        if answers is None or answers == "slow":
            continue
        compiled += 1
        for took, (_, ok) in zip(answers, tests):
            wrong += took and not ok
            invalid += not ok
            valid += ok
            taken += took and ok
    print(
        f"{judge.__name__}: {compiled} of {schemas} schemas compile, {slow} took more than {LIMIT} s; "
        f"{wrong} of {invalid} invalid values are taken, {taken} of {valid} valid ones"
    )
