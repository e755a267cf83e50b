"""Writes a GGUF as a Hugging Face checkpoint of 16-bit or 32-bit floats, for peers that read no GGUF.

    python scripts/peers/checkpoint.py MODEL.gguf FOLDER

The weights are the GGUF's, dequantised: every peer starts from the same numbers.
"""

import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    gguf, out = sys.argv[1:]
    folder, name = os.path.split(os.path.abspath(gguf))
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    # transformers still takes the dequantised model for a quantised one and would refuse to save it.
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    name_angles(os.path.join(out, "config.json"))


def name_angles(path):
    """Names the bases of Gemma 3's two kinds of angles as transformers 4 does too: optimum-intel asks for that version."""
    with open(path, encoding="utf-8") as f:
        config = json.load(f)
    angles = config.get("rope_parameters") or {}
    if "sliding_attention" not in angles:
        return
    config["rope_theta"] = angles["full_attention"]["rope_theta"]
    config["rope_local_base_freq"] = angles["sliding_attention"]["rope_theta"]
    with open(path, "w", encoding="utf-8") as f:
        json.dump(config, f, indent=2)


if __name__ == "__main__":
    main()
