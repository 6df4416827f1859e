"""A Llama of a few hundred weights in a folder, which always answers the same."""

import json
from typing import Any

import numpy as np
from safetensors.numpy import save_file

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:"


def write_llama(folder, logits, template: str | None = TEMPLATE):
    """Writes a model whose logits of letters are those given, whatever it is asked, and 0 for all
    other tokens: all tokens have one embedding, and its only layer adds nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    width, words = 8, ["<unk>", "<s>", *LETTERS, "path", "stop"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": width,
        "intermediate_size": width,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "vocab_size": len(words),
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-12,
        "tie_word_embeddings": False,
    }
    head = np.zeros((len(words), width), np.float32)
    for letter, value in logits.items():
        head[words.index(letter)] = value / width
    zero, one = np.zeros((width, width), np.float32), np.ones(width, np.float32)
    layer = "model.layers.0."
    weights = {
        "model.embed_tokens.weight": np.ones((len(words), width), np.float32),
        "model.norm.weight": one,
        "lm_head.weight": head,
        layer + "input_layernorm.weight": one,
        layer + "post_attention_layernorm.weight": one,
        **{f"{layer}self_attn.{name}_proj.weight": zero for name in "qkvo"},
        **{f"{layer}mlp.{name}_proj.weight": zero for name in ("gate", "up", "down")},
    }
    save_file(
        {name: value.copy() for name, value in weights.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(words)},
            "unk_token": "<unk>",
        },
    }
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "<unk>"}
    if template:
        named["chat_template"] = template
    for name, value in (("config", config), ("tokenizer", tokenizer), ("tokenizer_config", named)):
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def write_llava(folder):
    """Writes a LLaVA of random weights, whose template puts the picture first; needs
    transformers."""
    import torch
    import transformers as tf

    tokenizer = tf.PreTrainedTokenizerFast.from_pretrained(write_llama(folder / "words", {}))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    small: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2}
    sight: dict[str, Any] = {
        "num_hidden_layers": 2,
        "image_size": 28,
        "patch_size": 14,
        "projection_dim": 16,
    }
    speech: dict[str, Any] = {
        "num_hidden_layers": 1,
        "num_key_value_heads": 2,
        "vocab_size": len(tokenizer),
    }
    torch.manual_seed(0)
    model = tf.LlavaForConditionalGeneration(
        tf.LlavaConfig(
            vision_config=tf.CLIPVisionConfig(**small, **sight),
            text_config=tf.LlamaConfig(**small, **speech, max_position_embeddings=4096),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
    )
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5.0)  # so that answers differ
    processor = tf.LlavaProcessor(
        tf.CLIPImageProcessor(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, do_center_crop=True
        ),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
        chat_template="{% for m in messages %}{% for c in m['content'] %}"
        "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }}{% endif %}"
        "{% endfor %}{% endfor %} assistant:",
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
