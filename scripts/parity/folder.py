"""Runs a model folder that `sluice convert` wrote, in ONNX Runtime from Python: the judge's own engine.

The cache of keys and values is one buffer per layer, bound as input and output at once, as Sluice's engine does. Of a
hybrid graph only the decode rows are used, which read 8-bit keys and values: each token is computed as if it were
generated. The chunk is one token that nobody asks for.
"""

import json
import os

import numpy as np
import onnxruntime as ort


class Folder:
    """A model folder with a cache of `rows` sequences of at most `length` tokens."""

    def __init__(self, path, rows=1, length=1024, threads=2, fill=0.0):
        with open(os.path.join(path, "sluice.json"), encoding="utf-8") as f:
            self.manifest = json.load(f)
        g = self.graph = self.manifest["graph"]
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = ort.InferenceSession(
            os.path.join(path, g["file"]), options, providers=["CPUExecutionProvider"]
        )
        self.vocab = g["vocab_size"]
        self.hybrid = g.get("hybrid")
        shape = (rows, g["kv_heads"], length, g["head_size"])
        self.cache, self.scratch = {}, {}
        for layer in range(g["layers"]):
            for kind in ("key", "value"):
                names = g["past_" + kind] % layer, g["present_" + kind] % layer
                self.cache[names] = np.full(shape, fill, np.int8 if self.hybrid else np.float32)
                if h := self.hybrid:
                    names = h["chunk_past_" + kind] % layer, h["chunk_present_" + kind] % layer
                    self.scratch[names] = np.zeros((1, g["kv_heads"], 1, g["head_size"]), np.float32)

    def step(self, tokens, lengths, first_row=0, wanted=None):
        """Runs tokens [B][S] on the rows from first_row on and returns logits [n, vocabulary].

        lengths are those of the rows after the step; wanted are indices into the B*S tokens, all by default.
        """
        g = self.graph
        tokens = np.ascontiguousarray(tokens, np.int64)
        rows = len(tokens)
        lengths = np.asarray(lengths, np.int32)
        wanted = np.arange(tokens.size) if wanted is None else wanted
        io = self.session.io_binding()
        inputs = {
            g["input_ids"]: tokens,
            g["seqlens_k"]: lengths - 1,
            g["total_sequence_length"]: np.array(lengths.max(), np.int32),
            g["logits_indices"]: np.asarray(wanted, np.int64),
        }
        if h := self.hybrid:
            inputs[g["input_ids"]] = np.append(tokens.ravel(), 0)
            inputs[h["split"]] = np.array([tokens.size, 1], np.int64)
            inputs[h["rows_shape"]] = np.array([*tokens.shape, h["qkv_width"]], np.int64)
            inputs[h["chunk_seqlens_k"]] = np.array([0], np.int32)
            inputs[h["chunk_total_sequence_length"]] = np.array(1, np.int32)
        for name, value in inputs.items():
            io.bind_cpu_input(name, value)
        for cache, first, last in ((self.cache, first_row, first_row + rows), (self.scratch, 0, 1)):
            for (past, present), buffer in cache.items():
                view = buffer[first:last]
                assert view.flags.c_contiguous
                io.bind_input(past, "cpu", 0, view.dtype.type, view.shape, view.ctypes.data)
                io.bind_output(present, "cpu", 0, view.dtype.type, view.shape, view.ctypes.data)
        logits = np.empty((len(wanted), self.vocab), np.float32)
        io.bind_output(g["logits"], "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        self.session.run_with_iobinding(io)
        return logits

    def greedy(self, prompt, count, row=0):
        """Returns count greedy tokens after a prompt, and the logits of each."""
        logits = self.step([prompt], [len(prompt)], row, [len(prompt) - 1])[0]
        tokens, all_logits = [], []
        for i in range(count):
            tokens.append(int(logits.argmax()))
            all_logits.append(logits)
            if i + 1 < count:
                logits = self.step([[tokens[-1]]], [len(prompt) + i + 1], row)[0]
        return tokens, all_logits
