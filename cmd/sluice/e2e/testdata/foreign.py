"""Prints what a model folder's own runtime generates: foreign.py FOLDER PROMPTS N

PROMPTS is a JSON list of lists of token ids; the answer is a list of N greedy tokens for each. A folder with a
genai_config.json runs in onnxruntime-genai, any other in a loop over onnxruntime that feeds a sequence's own cache back.
The end token does not end anything.
"""

import json
import os
import sys

import numpy as np


def genai(folder, prompts, n):
    import onnxruntime_genai as og

    model = og.Model(folder)
    for prompt in prompts:
        params = og.GeneratorParams(model)
        length = len(prompt) + n
        params.set_search_options(max_length=length, min_length=length, do_sample=False, batch_size=1)
        generator = og.Generator(model, params)
        # min_length masks the end token, which greedy tokens here may be: read the logits instead.
        generator.append_tokens(np.array([prompt], np.int32))
        tokens = []
        for _ in range(n):
            tokens.append(int(generator.get_logits()[0, -1].argmax()))
            if len(tokens) < n:
                generator.append_tokens(np.array([tokens[-1:]], np.int32))
        yield tokens


def plain(folder, prompts, n):
    import onnxruntime as ort

    path = os.path.join(folder, "onnx", "model.onnx")
    session = ort.InferenceSession(path if os.path.exists(path) else os.path.join(folder, "model.onnx"))
    outputs = [o.name for o in session.get_outputs()]
    inputs = session.get_inputs()
    for prompt in prompts:
        feed, tokens, held = list(prompt), [], 0
        cache = {
            i.name: np.zeros([1, i.shape[1], 0, i.shape[3]], np.float16 if "16" in i.type else np.float32)
            for i in inputs
            if i.name.startswith("past_key_values")
        }
        for _ in range(n):
            values = {
                "input_ids": np.array([feed], np.int64),
                "attention_mask": np.ones((1, held + len(feed)), np.int64),
                "position_ids": np.arange(held, held + len(feed), dtype=np.int64)[None],
            }
            values = {k: v for k, v in values.items() if k in {i.name for i in inputs}} | cache
            result = dict(zip(outputs, session.run(outputs, values)))
            cache = {k: result[k.replace("past_key_values", "present")] for k in cache}
            held += len(feed)
            feed = [int(result["logits"][0, -1].argmax())]
            tokens += feed
        yield tokens


def main():
    folder, prompts, n = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
    run = genai if os.path.exists(os.path.join(folder, "genai_config.json")) else plain
    print(json.dumps(list(run(folder, prompts, n))))


if __name__ == "__main__":
    main()
