"""Writes smollm2.txt: for each weight of a llama GGUF, its name in Hugging Face's layout, its type, shape and the sha256
of its values as little-endian float32, dequantised by gguf-py and with the query and key rows in Hugging Face's order.

    pip install gguf==0.19.0 numpy
    python make_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf > smollm2.txt
"""

import hashlib
import re
import sys

from gguf import GGUFReader
from gguf.quants import dequantize

PARTS = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}
OTHERS = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def main():
    reader = GGUFReader(sys.argv[1])
    heads = {"attn_q": "head_count", "attn_k": "head_count_kv"}
    for t in reader.tensors:
        values = dequantize(t.data, t.tensor_type)
        stem = t.name.removesuffix(".weight")
        if match := re.fullmatch(r"blk\.(\d+)\.(\w+)", stem):
            layer, part = match.groups()
            name = f"model.layers.{layer}.{PARTS[part]}"
            if part in heads:  # the inverse of LlamaModel.permute in convert_hf_to_gguf.py
                n = int(reader.fields[f"llama.attention.{heads[part]}"].contents())
                rows = values.shape[0]
                values = values.reshape(n, rows // n // 2, 2, -1).swapaxes(1, 2).reshape(values.shape)
        else:
            name = OTHERS[stem]
        shape = "x".join(map(str, values.shape))
        digest = hashlib.sha256(values.astype("<f4").tobytes()).hexdigest()
        print(f"{name}.weight {t.tensor_type.name} {shape} {digest}")


if __name__ == "__main__":
    main()
