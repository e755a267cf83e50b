"""llguidance as a judge: reads a vocabulary and then questions, a JSON value a line, and answers each with a line.

The first line is {"tokens": [hex…], "special": [id…], "end": id}. A question is {"kind": "regex" | "lark" | "json",
"text": …, "tokens": [id…], "masks": bool}; the answer {"error": …} or {"accepted": how many tokens, "accepting": bool,
"masks": [hex of the mask before each token and after the last]}. With "walk": n in place of tokens, llguidance draws n
tokens of its own masks, by "seed", and answers {"walked": [id…], "accepting": bool}.
"""

import json
import random
import sys

import llguidance


class Vocabulary:
    """What llguidance wants to know of a tokenizer. Its tokenization is of no importance here."""

    def __init__(self, line):
        self.tokens = [bytes.fromhex(t) for t in line["tokens"]]
        self.special_token_ids = line["special"]
        self.eos_token_id = line["end"]
        self.bos_token_id = None
        self.by_byte = {t[0]: i for i, t in enumerate(self.tokens) if len(t) == 1}

    def __call__(self, text):
        if isinstance(text, str):
            text = text.encode()
        return [self.by_byte[b] for b in text]


def compile_grammar(question):
    kind, text = question["kind"], question["text"]
    if kind == "regex":
        return llguidance.LLMatcher.grammar_from_regex(text)
    if kind == "lark":
        return llguidance.LLMatcher.grammar_from_lark(text)
    return llguidance.LLMatcher.grammar_from_json_schema(text, overrides=question.get("options"))


def mask_of(matcher, end):
    """The tokens that may come. Where bytes are forced, llguidance's own mask has only those that its tokenization of them
    begins with, so each token is asked about."""
    mask = bytearray((len(tokenizer_tokens) + 7) // 8)
    for i in range(len(tokenizer_tokens)):
        if i == end:
            ok = matcher.is_accepting()
        else:
            ok = matcher.validate_tokens([i]) == 1
        if ok:
            mask[i >> 3] |= 1 << (i & 7)
    return mask.hex()


def answer(tokenizer, question, end):
    try:
        grammar = compile_grammar(question)
        matcher = llguidance.LLMatcher(tokenizer, grammar, log_level=0)
        if matcher.is_error():
            return {"error": matcher.get_error()}
    except Exception as e:  # whatever it refuses
        return {"error": str(e)}
    if "walk" in question:
        rng = random.Random(question["seed"])
        walked = []
        for _ in range(question["walk"]):
            mask = matcher.compute_bitmask()
            allowed = [i for i in range(len(tokenizer_tokens)) if mask[i >> 3] >> (i & 7) & 1 and i != end]
            if not allowed:
                break
            token = rng.choice(allowed)
            if not matcher.consume_token(token):
                return {"error": matcher.get_error()}
            walked.append(token)
            if matcher.is_stopped():
                break
        return {"walked": walked, "accepting": matcher.is_accepting()}
    masks, accepted = [], 0
    for token in question["tokens"]:
        if question.get("masks"):
            masks.append(mask_of(matcher, end))
        if not matcher.consume_token(token):
            break
        accepted += 1
    accepting = matcher.is_accepting()
    if question.get("masks") and accepted == len(question["tokens"]):
        masks.append("" if matcher.is_stopped() else mask_of(matcher, end))
    return {"accepted": accepted, "accepting": accepting, "masks": masks}


vocabulary = Vocabulary(json.loads(sys.stdin.readline()))
tokenizer_tokens = vocabulary.tokens
ll = llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary))
for line in sys.stdin:
    print(json.dumps(answer(ll, json.loads(line), vocabulary.eos_token_id)), flush=True)
