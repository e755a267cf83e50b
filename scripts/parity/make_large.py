"""Writes a Llama checkpoint of random BF16 weights, larger than the memory that a conversion is given (docs/quantisation.md).

    make_large.py FOLDER [--layers 11]

Eleven layers of Llama 2 7B's width are 4.7 GB in four files, written a piece at a time. The tokenizer is for `sluice
setup` to have fetched.
"""

import argparse
import json
import os
import shutil
import struct

import numpy as np

HIDDEN, INNER, HEADS, KV_HEADS, HEAD, VOCABULARY, FILES = 4096, 11008, 32, 8, 128, 49152, 4
NORMAL = (np.random.default_rng(0).standard_normal(1 << 22).astype(np.float32) * 0.02).view(np.uint32) >> 16  # as BF16


def tensors(layers):
    """Yields names and shapes."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for i in range(layers):
        for name, *shape in (
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.v_proj", KV_HEADS * HEAD, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INNER, HIDDEN),
            ("mlp.up_proj", INNER, HIDDEN),
            ("mlp.down_proj", HIDDEN, INNER),
            ("input_layernorm", HIDDEN),
            ("post_attention_layernorm", HIDDEN),
        ):
            yield f"model.layers.{i}.{name}.weight", tuple(shape)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write(path, part):
    """Writes a safetensors file."""
    header, end = {}, 0
    for name, shape in part:
        begin, end = end, end + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for number, (_, shape) in enumerate(part):
            values = np.full(1, 0x3F80) if len(shape) == 1 else np.roll(NORMAL, 977 * number)  # norms are 1
            left = int(np.prod(shape))
            while left > 0:
                piece = np.resize(values, min(left, NORMAL.size)).astype(np.uint16)
                f.write(piece.tobytes())
                left -= piece.size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=11)
    args = parser.parse_args()
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    home = os.environ.get("SLUICE_HOME", os.path.join(cache, "sluice"))
    os.makedirs(args.folder, exist_ok=True)
    shutil.copy(os.path.join(home, "models", "smollm2-135m-instruct", "tokenizer.json"), args.folder)

    whole, places = list(tensors(args.layers)), {}
    for i in range(FILES):
        part = whole[len(whole) * i // FILES : len(whole) * (i + 1) // FILES]
        file = f"model-{i + 1:05d}-of-{FILES:05d}.safetensors"
        write(os.path.join(args.folder, file), part)
        places.update(dict.fromkeys((name for name, _ in part), file))
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": args.layers, "vocab_size": VOCABULARY,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "tie_word_embeddings": False,
        "max_position_embeddings": 2048, "rope_theta": 10000.0, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    for name, value in (("model.safetensors.index.json", {"weight_map": places}), ("config.json", config)):
        with open(os.path.join(args.folder, name), "w", encoding="utf-8") as f:
            json.dump(value, f)


if __name__ == "__main__":
    main()
