"""Writes foreign.onnx: what the onnx package (1.23.2) makes of most things that Model has a field for, and of some
that it has not. Run: python foreign.py"""

import numpy as np
import onnx
from onnx import TensorProto, helper

nodes = [
    helper.make_node("Gemm", ["x", "w", ""], ["y"], name="product", transB=1, alpha=0.5),
    helper.make_node(
        "Mixed", ["y"], ["", "z"], domain="com.example", text="a b", ints=[1, -2, 3], floats=[0.5, -1.5], texts=["p", "q"]
    ),
]
outside = TensorProto(name="outside", data_type=TensorProto.FLOAT16, dims=[2, 8], data_location=TensorProto.EXTERNAL)
for key, value in (("location", "weights.bin"), ("offset", "4096"), ("length", "32")):
    outside.external_data.add(key=key, value=value)
graph = helper.make_graph(
    nodes,
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3]), helper.make_tensor_value_info("n", TensorProto.INT32, [])],
    [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    [onnx.numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "w"), outside],
)
model = helper.make_model(
    graph,
    producer_name="foreign",
    producer_version="7",
    ir_version=10,
    opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid("com.example", 1)],
)
model.metadata_props.add(key="made", value="by hand")
with open("foreign.onnx", "wb") as f:
    f.write(model.SerializeToString(deterministic=True))

# Typed values, a tensor and a subgraph in attributes, packed numbers: skipped or read, but not written.
graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "sub", [], [])))
graph.node.append(helper.make_node("Constant", [], ["k"], value=helper.make_tensor("v", TensorProto.INT64, [2], [7, 8])))
graph.initializer.append(helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, 2.0]))
packed = TensorProto(name="packed", data_type=TensorProto.INT8)
packed.raw_data = b"\x01\x02\x03\x04"
data = packed.SerializeToString() + b"\x0a\x02\x02\x02"  # dims 2, 2 in one packed field
model.graph.CopyFrom(graph)
# Fields of a message may come in parts: a second graph merges with the first.
with open("skipped.onnx", "wb") as f:
    f.write(model.SerializeToString(deterministic=True) + b"\x3a" + bytes([len(data) + 2]) + b"\x2a" + bytes([len(data)]) + data)
