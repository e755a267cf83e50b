"""transformers as the judge: a checkpoint at float32, dequantised if it is a GGUF."""

import os

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()


def load(path, threads=2):
    """Returns the model and the tokenizer of a GGUF file or a Hugging Face folder."""
    torch.set_num_threads(threads)
    where, kwargs = path, {}
    if os.path.isfile(path):
        where, kwargs = os.path.dirname(os.path.abspath(path)), {"gguf_file": os.path.basename(path)}
    model = AutoModelForCausalLM.from_pretrained(
        where, dtype=torch.float32, attn_implementation="eager", **kwargs
    ).eval()
    return model, AutoTokenizer.from_pretrained(where, **kwargs)


@torch.inference_mode()
def greedy(model, prompt, count):
    """Returns the count tokens of largest logit after a prompt, and the logits of each as numpy arrays."""
    tokens, all_logits, cache, step = [], [], None, prompt
    for _ in range(count):
        out = model(torch.tensor([step]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache, logits = out.past_key_values, out.logits[0, -1]
        all_logits.append(logits.numpy())
        tokens.append(int(logits.argmax()))
        step = tokens[-1:]
    return tokens, all_logits
