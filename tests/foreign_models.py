"""Small models with random weights, each saved in the format of its own library; nothing is downloaded."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import timm
import torch

TINY: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 64,
}  # fmt: skip
VIT = {**TINY, "image_size": 64, "patch_size": 16}
PREPARED = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}
CARD = "---\nlicense: mit\n---\nA model for tests.\n"


def save_timm(folder: Path) -> Path:
    """A vision transformer of timm for images of 64 px, and classes of its own."""
    torch.manual_seed(1)
    model = timm.create_model("test_vit", num_classes=5, img_size=64)
    config: Any = model.pretrained_cfg
    config |= {"input_size": (3, 64, 64), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3)}
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    return folder


def save_transformers(kind: str, folder: Path) -> Path:
    """A model of transformers; `kind`: the name of its class."""
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(2)
    configs: dict[str, Any] = {
        "ViTModel": ("ViTConfig", VIT),
        "ViTForImageClassification": ("ViTConfig", VIT),
        "ViTMAEModel": ("ViTMAEConfig", VIT),
        "DeiTModel": ("DeiTConfig", VIT),
        "Dinov2Model": ("Dinov2Config", {**TINY, "image_size": 56, "patch_size": 14}),
        "Dinov2WithRegistersModel": ("Dinov2WithRegistersConfig", {**TINY, "image_size": 56, "patch_size": 14}),
        "SiglipModel": ("SiglipConfig", {"vision_config": VIT, "text_config": {**TINY, "vocab_size": 90}}),
        "CLIPModel": (
            "CLIPConfig",
            {"vision_config": VIT, "text_config": {**TINY, "vocab_size": 90, "bos_token_id": 0, "eos_token_id": 1}},
        ),
        "SwinModel": (
            "SwinConfig",
            {"embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 2, 2], "image_size": 64, "window_size": 2},
        ),
        "ConvNextModel": ("ConvNextConfig", {"hidden_sizes": [8, 16, 16, 32], "depths": [1, 1, 2, 1]}),
        "BertModel": ("BertConfig", {**TINY, "vocab_size": 90}),
    }
    name, values = configs[kind]
    model = getattr(transformers, kind)(getattr(transformers, name)(**{"image_size": 64} | values))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)  # no norm and no bias stays as it began
    model.save_pretrained(folder)
    size = 56 if "Dinov2" in kind else 64
    if kind != "BertModel":
        transformers.ViTImageProcessor(size={"height": size, "width": size}, **PREPARED).save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder


TOWERS: dict[str, dict[str, Any]] = {
    "transformer": {"layers": 3, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64},
    "mean": {"layers": 2, "width": 32, "head_width": 16, "patch_size": 16, "image_size": 64, "pool_type": "avg",
             "final_ln_after_pool": True},
    "resnet": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 16, "image_size": 64},
    "timm": {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160},
}  # fmt: skip


def save_open_clip(tower: str, folder: Path) -> Path:
    """A whole CLIP with this image tower, as open_clip writes one for the hub."""
    import open_clip

    torch.manual_seed(3)
    text = {"context_length": 8, "vocab_size": 50, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 24, "vision_cfg": TOWERS[tower], "text_cfg": text}
    model = open_clip.CLIP(**config)
    folder.mkdir(parents=True)
    about = {"model_cfg": config, "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3]}}
    (folder / "open_clip_config.json").write_text(json.dumps(about), encoding="utf-8")
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(state, folder / "open_clip_model.safetensors")
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    return folder
