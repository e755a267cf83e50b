"""Writes tiny.onnx: a two-layer Llama with random weights, in the form that Sluice's converter writes.

    python tiny.py        # needs numpy and onnx

It is small enough to commit and has everything that a session handles: grouped query attention with rotary
embeddings inside, a shared past/present buffer, direct sequence lengths, and only the wanted rows of logits.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LAYERS, HIDDEN, HEADS, KV_HEADS, HEAD_SIZE, FEED_FORWARD, VOCABULARY, POSITIONS = 2, 32, 4, 2, 16, 64, 96, 512

random = np.random.default_rng(7)
nodes, initializers, inputs, outputs = [], [], [], []


def weight(name, *shape):
    values = random.standard_normal(shape, dtype=np.float32) / np.sqrt(np.float32(shape[0])) * 2
    initializers.append(numpy_helper.from_array(values, name))
    return name


def constant(name, value):
    initializers.append(numpy_helper.from_array(value, name))
    return name


def node(op, ins, outs, domain="", **attributes):
    nodes.append(helper.make_node(op, ins, outs, name=f"{op}_{len(nodes)}", domain=domain, **attributes))
    return outs[0]


inputs.append(helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"]))
inputs.append(helper.make_tensor_value_info("seqlens_k", TensorProto.INT32, ["batch"]))
inputs.append(helper.make_tensor_value_info("total_sequence_length", TensorProto.INT32, []))
inputs.append(helper.make_tensor_value_info("logits_idx", TensorProto.INT64, ["rows"]))

frequencies = 1 / (10000 ** (np.arange(0, HEAD_SIZE, 2) / HEAD_SIZE))
angles = np.outer(np.arange(POSITIONS), frequencies)
constant("cos", np.cos(angles).astype(np.float32))
constant("sin", np.sin(angles).astype(np.float32))
constant("flat", np.array([-1, HIDDEN], np.int64))

x = node("Gather", [weight("embedding", VOCABULARY, HIDDEN), "input_ids"], ["x"])
for layer in range(LAYERS):
    p = f"layers.{layer}."
    cache = ["batch", KV_HEADS, "positions", HEAD_SIZE]
    names = [f"{kind}.{layer}.{part}" for kind in ("past_key_values", "present") for part in ("key", "value")]
    inputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, cache) for n in names[:2]]
    outputs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, cache) for n in names[2:]]
    ones = constant(p + "ones", np.ones(HIDDEN, np.float32))
    h = node("SimplifiedLayerNormalization", [x, ones], [p + "norm1"], axis=-1, epsilon=1e-5)
    width = (HEADS + 2 * KV_HEADS) * HEAD_SIZE
    h = node("MatMul", [h, weight(p + "qkv.w", HIDDEN, width)], [p + "qkv"])
    h = node("GroupQueryAttention", [h, "", "", *names[:2], "seqlens_k", "total_sequence_length", "cos", "sin"],
             [p + "attention", *names[2:]], domain="com.microsoft", num_heads=HEADS, kv_num_heads=KV_HEADS,
             do_rotary=1)
    h = node("MatMul", [h, weight(p + "o.w", HEADS * HEAD_SIZE, HIDDEN)], [p + "o"])
    x = node("Add", [x, h], [p + "residual1"])
    h = node("SimplifiedLayerNormalization", [x, ones], [p + "norm2"], axis=-1, epsilon=1e-5)
    gate = node("MatMul", [h, weight(p + "gate.w", HIDDEN, FEED_FORWARD)], [p + "gate"])
    up = node("MatMul", [h, weight(p + "up.w", HIDDEN, FEED_FORWARD)], [p + "up"])
    swish = node("Mul", [gate, node("Sigmoid", [gate], [p + "sigmoid"])], [p + "swish"])
    h = node("Mul", [swish, up], [p + "gated"])
    h = node("MatMul", [h, weight(p + "down.w", FEED_FORWARD, HIDDEN)], [p + "down"])
    x = node("Add", [x, h], [p + "residual2"])
x = node("SimplifiedLayerNormalization", [x, "layers.0.ones"], ["norm"], axis=-1, epsilon=1e-5)
x = node("Gather", [node("Reshape", [x, "flat"], ["rows_of_all"]), "logits_idx"], ["rows_wanted"])
node("MatMul", [x, node("Transpose", ["embedding"], ["head"], perm=[1, 0])], ["logits"])
outputs.insert(0, helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", VOCABULARY]))

graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
model = helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name="tiny.py")
path = Path(__file__).with_name("tiny.onnx")
onnx.save(model, path)
print(path.stat().st_size, "bytes")
