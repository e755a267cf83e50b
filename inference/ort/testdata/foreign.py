"""Writes optimum.onnx and genai.onnx, of each a twin with 16-bit floats, and one that gives as many logits as it is told: one small Llama with random weights, as two
other exporters write it, and foreign.json: the greedy continuations that transformers gives for some prompts.

    pip install torch transformers==4.57.6 optimum==2.1.0 optimum-onnx==0.1.0 onnx onnxruntime
    python foreign.py optimum
    pip install -U transformers onnxruntime-genai onnx-ir
    python foreign.py genai

The two packages want different versions of transformers; the weights are the same.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import onnx
import torch
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent


def model():
    torch.manual_seed(11)
    config = LlamaConfig(
        # The builder of onnxruntime-genai knows the head by its width, so that no other layer may have it.
        vocab_size=96, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=512, tie_word_embeddings=True,
        initializer_range=0.3, bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )
    return LlamaForCausalLM(config).eval()


def optimum(folder):
    from optimum.exporters.onnx import main_export

    main_export(str(folder), str(folder / "out"), task="text-generation-with-past", do_validation=False)
    return folder / "out" / "model.onnx"


def genai(folder):
    # The builder copies a tokenizer; any will do, and the test needs none.
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    vocabulary = {chr(0x100 + i): i for i in range(96)}
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE(vocabulary, []))).save_pretrained(folder)
    command = ["-m", "onnxruntime_genai.models.builder", "-m", folder, "-o", folder / "out", "-p", "fp32", "-e", "cpu"]
    subprocess.run([sys.executable, *map(str, command), "-c", str(folder / "cache")], check=True)
    return folder / "out" / "model.onnx"


def halved(path):
    """Keys, values and logits are 16-bit too, as in the variants fp16 and q4f16 of onnx-community."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    return convert_float_to_float16(onnx.load(path), keep_io_types=False)


def kept(model):
    """The graph with the input num_logits_to_keep, as newer exports of onnx-community have it."""
    graph = model.graph
    for node in graph.node:
        node.output[:] = ["all_logits" if name == "logits" else name for name in node.output]
    graph.input.append(onnx.helper.make_tensor_value_info("num_logits_to_keep", onnx.TensorProto.INT64, []))
    for name, value in {"keep_axis": [1], "keep_end": [2**62], "keep_shape": [1]}.items():
        graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [1], value))
    graph.node.append(onnx.helper.make_node("Neg", ["num_logits_to_keep"], ["keep_negative"]))
    graph.node.append(onnx.helper.make_node("Reshape", ["keep_negative", "keep_shape"], ["keep_start"]))
    graph.node.append(onnx.helper.make_node("Slice", ["all_logits", "keep_start", "keep_end", "keep_axis"], ["logits"]))
    graph.output[0].type.tensor_type.shape.dim[1].dim_param = "kept"
    return model


def expected(llama):
    lines = []
    for length in (1, 5, 40):
        prompt = [(7 * i + length) % 96 for i in range(length)]
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(24):
                tokens.append(int(llama(torch.tensor([tokens])).logits[0, -1].argmax()))
        lines.append({"prompt": prompt, "tokens": tokens[length:]})
    return lines


def main():
    llama = model()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        llama.save_pretrained(folder)
        path = {"optimum": optimum, "genai": genai}[sys.argv[1]](folder)
        onnx.save(onnx.load(path), HERE / f"{sys.argv[1]}.onnx")
        onnx.save(halved(path), HERE / f"{sys.argv[1]}_fp16.onnx")
        if sys.argv[1] == "genai":
            onnx.save(kept(halved(path)), HERE / "genai_fp16_keep.onnx")
    (HERE / "foreign.json").write_text(json.dumps(expected(llama)) + "\n")


if __name__ == "__main__":
    main()
