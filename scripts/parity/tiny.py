"""Weights of small models that are not stored: a formula gives them from their names, here and in the Go tests.

The values are multiples of 2^-9, about 0 or 1, that every float type holds exactly.
"""

import os
import tempfile

import numpy as np
import safetensors
import torch
from safetensors.torch import save_file


def weights(name, shape):
    """splitmix64, seeded by the FNV-1a hash of the name."""
    seed = np.uint64(0xCBF29CE484222325)
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        for byte in name.encode():
            seed = (seed ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        z = seed + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    values = ((z >> np.uint64(32)) % np.uint64(255)).astype(np.float32) - 127
    if len(shape) == 1 and name.endswith("weight"):  # a norm's
        values = 1 + np.trunc(values / 4) / 128
    else:
        values /= 512
    return torch.from_numpy(values.reshape(shape))


def fill(model):
    """Gives a model such weights, and returns it with the shapes that its checkpoint holds, by name."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        path = os.path.join(folder, "model.safetensors")
        with safetensors.safe_open(path, "pt") as f:
            shapes = {name: list(f.get_slice(name).get_shape()) for name in f.keys()}
        tensors = {name: weights(name, tuple(shape)) for name, shape in shapes.items()}
        save_file(tensors, path, {"format": "pt"})
        model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, shapes


def prompt(length, vocab):
    return [(7 * i + i * i // 3 + 5) % vocab for i in range(length)]
