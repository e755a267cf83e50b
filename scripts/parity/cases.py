"""Small models of every architecture: the least that shows each of their traits. See README.md."""

YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
SMALL = {"vocab_size": 61, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "max_position_embeddings": 512}


def long_factors(pairs, first):
    return [round(first + 0.25 * i, 2) for i in range(pairs)]


# By architecture: transformers' model_type, and configurations by name. "dtype" is that of the checkpoint's weights,
# "context" the --context of the conversion.
CASES = {
    "llama": ("llama", {
        "yarn, untied": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "rope_parameters": YARN, "tie_word_embeddings": False,
        },
        "heads of 24 values": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 24,
            "tie_word_embeddings": True, "dtype": "bfloat16",
        },
        "llama3 scaling, three heads": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 3, "tie_word_embeddings": True,
            "max_position_embeddings": 16384,
            "rope_parameters": {
                "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                "original_max_position_embeddings": 8192,  # of all models so far; a GGUF has the divisors alone
            },
        },
    }),
    "mistral": ("mistral", {
        "window of 16": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 32, "sliding_window": 16,
            "tie_word_embeddings": False, "dtype": "float16",
        },
    }),
    "qwen2": ("qwen2", {
        "tied": {**SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": True},
        "untied, a window from the second layer on, yarn": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 6, "num_key_value_heads": 3, "use_sliding_window": True,
            "sliding_window": 20, "max_window_layers": 1, "rope_parameters": YARN, "tie_word_embeddings": False,
        },
    }),
    "qwen3": ("qwen3", {
        "tied, wide heads": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 64, "tie_word_embeddings": True,
        },
        "untied, biases": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 16, "attention_bias": True,
            "tie_word_embeddings": False, "dtype": "bfloat16",
        },
    }),
    "smollm3": ("smollm3", {
        "every fourth layer without positions": {
            **SMALL, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 1, "pad_token_id": None,
        },
        "a list of layers": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "no_rope_layers": [0, 1, 1], "pad_token_id": None,
            "tie_word_embeddings": False,
        },
    }),
    "gemma2": ("gemma2", {
        "window of 16": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "sliding_window": 16,
            "query_pre_attn_scalar": 24, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0,
        },
        "window of 40, bfloat16": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "sliding_window": 40,
            "query_pre_attn_scalar": 32, "attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0, "dtype": "bfloat16",
        },
    }),
    "gemma3": ("gemma3_text", {
        "window of 8 in two of three layers": {
            **SMALL, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32,
            "sliding_window": 8, "layer_types": ["sliding_attention", "sliding_attention", "full_attention", "sliding_attention"],
            "query_pre_attn_scalar": 32,
        },
        "linear scaling": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "sliding_window": 40,
            "layer_types": ["sliding_attention", "full_attention", "full_attention"], "query_pre_attn_scalar": 16,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "dtype": "bfloat16",
        },
        "seven layers": {
            **SMALL, "num_hidden_layers": 7, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
            "sliding_window": 24, "query_pre_attn_scalar": 16,
        },
    }),
    "phi3": ("phi3", {
        "window of 20": {
            **SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "sliding_window": 20, "pad_token_id": 0,
        },
        "longrope, three quarters of a head turned": {
            **SMALL, "hidden_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "pad_token_id": 0,
            "original_max_position_embeddings": 32,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 10000.0, "partial_rotary_factor": 0.75,
                "short_factor": long_factors(24, 1.0), "long_factor": long_factors(24, 1.5),
                "original_max_position_embeddings": 32,
            },
            "lengths": [37, 300],  # shorter texts have transformers take the short factors
        },
        "longrope, a short context": {
            **SMALL, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4, "pad_token_id": 0,
            "original_max_position_embeddings": 128,
            "rope_parameters": {
                "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": long_factors(8, 1.0),
                "long_factor": long_factors(8, 1.5), "original_max_position_embeddings": 128,
            },
            "lengths": [1, 2, 37], "context": 128,
        },
    }),
    "olmo2": ("olmo2", {
        "untied": {**SMALL, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False, "pad_token_id": 0},
        "tied": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 3, "num_key_value_heads": 3, "tie_word_embeddings": True,
            "pad_token_id": 0, "dtype": "float16",
        },
    }),
    "gpt2": ("gpt2", {
        "tied, three heads": {
            "vocab_size": 61, "n_embd": 96, "n_layer": 3, "n_head": 3, "n_positions": 512, "bos_token_id": 0, "eos_token_id": 0,
        },
        "untied, another width": {
            "vocab_size": 61, "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 96, "n_positions": 512, "bos_token_id": 0,
            "eos_token_id": 0, "tie_word_embeddings": False, "dtype": "bfloat16",
        },
    }),
    "gptneox": ("gpt_neox", {
        "side by side, a quarter of a head turned": {
            **SMALL, "hidden_size": 128, "num_attention_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        },
        "one after the other, 12 of 24 values turned": {
            **SMALL, "hidden_size": 96, "num_attention_heads": 4, "use_parallel_residual": False,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
            "dtype": "float16",
        },
    }),
}
LENGTHS = [1, 2, 37, 300]

# What GGUF's metadata can't say, or llama.cpp's converter leaves out: windows of Llama's layers, other patterns of layers
# and scales than the published models', another width than four times the hidden one.
NO_GGUF = {
    "mistral": ["window of 16"],
    "qwen2": ["untied, a window from the second layer on, yarn"],
    "smollm3": ["a list of layers"],
    "gemma2": ["window of 16"],
    "gemma3": ["window of 8 in two of three layers", "linear scaling"],
    "gpt2": ["untied, another width"],
}


def load(architecture, case):
    """Makes a case's configuration and model, in float32, and gives them with what the case says besides."""
    from transformers import AutoConfig, AutoModelForCausalLM
    import torch

    model_type, cases = CASES[architecture]
    settings = dict(cases[case])
    extra = {key: settings.pop(key) for key in ("dtype", "context", "lengths") if key in settings}
    config = AutoConfig.for_model(model_type, **settings)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    return model, extra
