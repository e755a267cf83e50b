"""Measures what ONNX Runtime's operators for sampling take: processor time of one thread for each call, the least of several.

    python scripts/sampling_ops.py

docs/adr/0008-sampling-outside-the-graph.md compares that with what drawing takes outside the graph. Needs onnx and onnxruntime.
"""

import time

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

VOCABULARY = 49152
ROUNDS, CALLS = 7, 100


def microseconds(rows: int, operators: list[str]) -> float:
    """The time of a graph of these operators on so many rows of logits."""
    nodes, outputs = [], []
    for name in operators:
        inputs, results, attributes = ["logits"], [(name, TensorProto.FLOAT)], {}
        if name == "ArgMax":
            results, attributes = [(name, TensorProto.INT64)], {"axis": -1}
        if name == "TopK":
            inputs, results = ["logits", "k"], [("best", TensorProto.FLOAT), ("ids", TensorProto.INT64)]
        nodes.append(helper.make_node(name, inputs, [r for r, _ in results], **attributes))
        outputs += [helper.make_tensor_value_info(r, kind, None) for r, kind in results]
    graph = helper.make_graph(
        nodes, "sampling",
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [rows, VOCABULARY])], outputs,
        [helper.make_tensor("k", TensorProto.INT64, [1], [40])] if "TopK" in operators else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    logits = 3 * np.random.default_rng(1).standard_normal((rows, VOCABULARY)).astype(np.float32)
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(CALLS):
            session.run(None, {"logits": logits})
        best = min(best, (time.process_time() - started) / CALLS)
    return best * 1e6


def main() -> None:
    for operators in (["ArgMax"], ["TopK"], ["Softmax"], ["TopK", "Softmax"]):
        figures = ", ".join(f"{microseconds(rows, operators) / rows:.0f} µs a row at {rows}" for rows in (1, 16))
        print(f"{' and '.join(operators)}: {figures}")


if __name__ == "__main__":
    main()
