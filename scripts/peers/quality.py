"""How far a peer's predictions are from those of the same weights in float32. `bench.py --quality TEXT` runs it.

    quality.py MODE MODEL --work FOLDER [--threads 2]

MODE tokens reads MODEL, a file of logits that llama-perplexity wrote, for its windows of tokens; reference runs a Hugging
Face folder in float32 by transformers; llama (such a file of logits), sluice, genai and openvino then print a JSON line:
the perplexity, the Kullback-Leibler divergence from the reference, and how often the best token is the same. Scored is
the second half of each window, as llama-perplexity does. Its files cut probabilities off at e^-16 of the greatest and
hold 16 bits, which is far below the differences of interest.
"""

import argparse
import json
import os
import sys

import numpy as np

TOKENS, REFERENCE = "tokens.npy", "reference.npy"


def log_softmax(logits):
    logits = logits.astype(np.float32)
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def llama_file(path):
    """Yields the tokens [windows, length], and then the log-probabilities [scored, vocabulary] of each window."""
    with open(path, "rb") as f:
        if f.read(8) != b"_logits_":
            sys.exit(f"{path} holds no logits of llama-perplexity")
        length, vocabulary, windows = np.fromfile(f, np.int32, 3)
        yield np.fromfile(f, np.int32, windows * length).reshape(windows, length)
        scored, width = length - 1 - length // 2, 2 * ((vocabulary + 1) // 2) + 4
        for _ in range(windows):
            rows = np.fromfile(f, np.uint16, scored * width).reshape(scored, width)
            scale, least = np.ascontiguousarray(rows[:, :4]).view(np.float32).T
            yield scale[:, None] * rows[:, 4 : 4 + vocabulary] + least[:, None]


def transformers_runner(path, threads):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    @torch.inference_mode()
    def run(window):
        return model(torch.tensor([window])).logits[0].numpy()

    return run


def sluice_runner(path, threads):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "parity"))
    from folder import Folder

    folder = Folder(path, 1, 1024, threads)
    return lambda window: folder.step([window], [len(window)])


def genai_runner(path, threads):
    import onnxruntime_genai as og

    config = og.Config(path)
    config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
    model = og.Model(config)

    def run(window):
        params = og.GeneratorParams(model)
        params.set_search_options(max_length=len(window) + 1, do_sample=False)
        generator = og.Generator(model, params)
        generator.append_tokens(np.array([window], np.int32))
        return generator.get_output("logits")[0]

    return run


def openvino_runner(path, threads):
    """A folder of OpenVINO's, or its own reading of a GGUF, which its pipeline leaves beside the file when asked to."""
    import openvino
    import openvino_genai

    folder = path
    if not os.path.isdir(path):
        openvino_genai.LLMPipeline(path, "CPU", enable_save_ov_model=True)
        folder = os.path.dirname(path)
    core = openvino.Core()
    model = core.read_model(os.path.join(folder, "openvino_model.xml"))
    request = core.compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads}).create_infer_request()

    def run(window):
        ids = np.array([window], np.int64)
        request.reset_state()
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "beam_idx": np.zeros(1, np.int32)}
        given["position_ids"] = np.arange(ids.size, dtype=np.int64)[None]
        names = {name for i in model.inputs for name in i.names}
        request.infer({name: value for name, value in given.items() if name in names})
        return request.get_tensor("logits").data[0]

    return run


def scored(runner, tokens):
    """Yields the log-probabilities of each window's second half."""
    for window in tokens:
        logits = runner(window.tolist())
        yield log_softmax(logits[len(window) // 2 : -1])


def compare(rows, tokens, reference):
    loss, divergence, agreed, n = 0.0, 0.0, 0, 0
    for window, p, q in zip(tokens, reference, rows, strict=True):
        following = window[len(window) // 2 + 1 :]
        loss -= q[np.arange(len(q)), following].sum(dtype=np.float64)
        divergence += (np.exp(p) * (p - q)).sum(dtype=np.float64)
        agreed += int((p.argmax(-1) == q.argmax(-1)).sum())
        n += len(q)
    return {
        "positions": n,
        "perplexity": round(float(np.exp(loss / n)), 3),
        "kl": round(divergence / n, 4),
        "same_top": round(100 * agreed / n, 1),
    }


RUNNERS = {"sluice": sluice_runner, "genai": genai_runner, "openvino": openvino_runner}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=["tokens", "reference", "llama", *RUNNERS])
    parser.add_argument("model")
    parser.add_argument("--work", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bos", type=int, help="of mode tokens: the token that llama.cpp put at the beginning of each window")
    args = parser.parse_args()
    work = lambda name: os.path.join(args.work, name)  # noqa: E731
    if args.mode == "tokens":
        tokens = next(llama_file(args.model)).copy()
        if args.bos is not None:
            tokens[:, 0] = args.bos
        np.save(work(TOKENS), tokens)
        return
    tokens = np.load(work(TOKENS))
    if args.mode == "reference":
        np.save(work(REFERENCE), np.stack(list(scored(transformers_runner(args.model, args.threads), tokens))))
        return
    reference = np.load(work(REFERENCE), mmap_mode="r")
    if args.mode == "llama":
        rows = llama_file(args.model)
        next(rows)
    else:
        rows = scored(RUNNERS[args.mode](args.model, args.threads), tokens)
    print(json.dumps(compare(rows, tokens, reference)))


if __name__ == "__main__":
    main()
