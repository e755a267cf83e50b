"""Writes inference/model/builder/testdata/tiny.json: transformers' logits for small random Llamas. See README.md.

Their weights are not stored: a formula gives them from their names, here and in the Go test. The values are multiples
of 2^-9, about 0 or 1, that every float type holds exactly.
"""

import json
import sys

import torch
from tiny import prompt, weights
from transformers import LlamaConfig, LlamaForCausalLM

CASES = {
    "tied, three heads to one": {
        "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2, "num_attention_heads": 3,
        "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True, "dtype": "float32",
    },
    "untied, biases, wide heads, linear scaling": {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": False, "dtype": "bfloat16",
        "attention_bias": True, "mlp_bias": True,
        "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0},
    },
    "tied, five heads, llama3 scaling": {
        "hidden_size": 80, "intermediate_size": 160, "num_hidden_layers": 3, "num_attention_heads": 5,
        "num_key_value_heads": 5, "head_dim": 64, "tie_word_embeddings": True, "dtype": "float16",
        "rope_parameters": {
            "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
        },
    },
    "untied, nine heads to three": {
        "hidden_size": 288, "intermediate_size": 192, "num_hidden_layers": 1, "num_attention_heads": 9,
        "num_key_value_heads": 3, "head_dim": 32, "tie_word_embeddings": False, "dtype": "float32",
        "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}, "rms_norm_eps": 1e-3,
    },
}
COMMON = {"vocab_size": 61, "max_position_embeddings": 512}
LENGTHS = [1, 2, 37, 300]


def main():
    torch.set_num_threads(1)
    out = []
    for name, case in CASES.items():
        config = LlamaConfig(**COMMON, **case)
        config.dtype = None
        model = LlamaForCausalLM._from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
        tied = case["tie_word_embeddings"]
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if key == "lm_head.weight" and tied:
                    continue
                parameter.copy_(weights(key, tuple(parameter.shape)))
        runs = []
        for length in LENGTHS:
            tokens = prompt(length, COMMON["vocab_size"])
            with torch.inference_mode():
                logits = model(torch.tensor([tokens])).logits[0, -1]
            runs.append({"length": length, "logits": [float(f"{v:.7g}") for v in logits.tolist()]})
        written = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
        written |= {"rms_norm_eps": 1e-6, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
        out.append({"name": name, "config": written | COMMON | case, "runs": runs})
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]\n")


if __name__ == "__main__":
    main()
