"""Runs the JSON-Schema-Test-Suite (draft 2020-12, the folder that suite.sh prints) through llguidance and xgrammar as
TestSuite does through Sluice: how many schemas compile, how many invalid values of these are taken, and how many valid ones.
"""

import glob
import json
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
            return None

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


files = sorted(glob.glob(sys.argv[1] + "/*.json") + glob.glob(sys.argv[1] + "/optional/format/*.json"))
for judge in llguidance, xgrammar:
    try:
        compile_schema = judge()
    except ImportError as e:
        print(f"{judge.__name__} is not installed: {e}")
        continue
    schemas = compiled = wrong = valid = taken = 0
    for file in files:
        for group in json.load(open(file)):
            schemas += 1
            try:
                takes = compile_schema(json.dumps(group["schema"]))
            except Exception:
                takes = None
            if takes is None:
                continue
            compiled += 1
            for test in group["tests"]:
                got = takes(json.dumps(test["data"], separators=(",", ":"), ensure_ascii=False))
                wrong += got and not test["valid"]
                valid += test["valid"]
                taken += got and test["valid"]
    print(f"{judge.__name__}: {compiled} of {schemas} schemas compile; {wrong} invalid values are taken; of {valid} valid ones {taken} are taken")
