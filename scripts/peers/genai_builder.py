"""onnxruntime-genai's own builder of models, with its own options, for checkpoints of Gemma 3 too.

    python scripts/peers/genai_builder.py -m CHECKPOINT -o FOLDER -p int4 -e cpu -c CACHE

Version 0.18 looks for two bases of rotary angles where transformers 4 had them, and asks for transformers 5, which keeps
them by kind of layer: it ends with KeyError: 'rope_type'. So the configuration that it reads names them as it expects.
"""

import runpy


def named_as_before(config):
    """Gives a configuration with angles by kind of layer the names that the builder reads."""
    angles = getattr(config, "rope_parameters", None) or {}
    if "sliding_attention" in angles:
        config.rope_local_base_freq = angles["sliding_attention"]["rope_theta"]
        config.rope_parameters = angles["full_attention"]
    return config


def main():
    from transformers import AutoConfig

    read = AutoConfig.from_pretrained
    AutoConfig.from_pretrained = lambda *args, **options: named_as_before(read(*args, **options))
    runpy.run_module("onnxruntime_genai.models.builder", run_name="__main__")


if __name__ == "__main__":
    main()
