"""Writes the goldens of package quant: NAME.blocks, random blocks of the type, and NAME.f32, the little-endian
float32 values that gguf-py gives for them, or PyTorch for all 8-bit floats.

    pip install gguf==0.19.0 numpy torch
    python make_goldens.py
"""

import pathlib

import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

HERE = pathlib.Path(__file__).parent
# The half-precision fields of each type's block: byte offsets.
HALVES = {
    "F32": [], "F16": [0], "BF16": [],
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0],
}


def main():
    rng = np.random.default_rng(20261124)
    for name, halves in HALVES.items():
        kind = GGMLQuantizationType[name]
        size, width = GGML_QUANT_SIZES[kind]
        count = 512 // size
        if name == "F32":
            blocks = rng.standard_normal(count).astype("<f4").view(np.uint8)
        elif name == "BF16":
            blocks = rng.standard_normal(count).astype("<f4").view("<u2")[1::2].copy().view(np.uint8)
        else:
            blocks = rng.integers(0, 256, (count, width), dtype=np.uint8)
            for at in halves:  # finite scales: normal ones, a zero, a negative one, the smallest and the largest
                scales = (rng.standard_normal(count) * 0.1).astype("<f2")
                if count > 4:
                    scales[:4] = [0, -0.5, 6e-8, 65504]
                blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
            blocks = blocks.reshape(-1)
        values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
        assert values.size == count * size, name
        (HERE / f"{name}.blocks").write_bytes(blocks.tobytes())
        (HERE / f"{name}.f32").write_bytes(values.tobytes())
    for name, kind in {"F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2}.items():
        every = torch.arange(256, dtype=torch.uint8)
        (HERE / f"{name}.blocks").write_bytes(every.numpy().tobytes())
        (HERE / f"{name}.f32").write_bytes(every.view(kind).float().numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main()
