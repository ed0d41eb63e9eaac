"""The image towers of open_clip, an extra, from a folder with open_clip_config.json and weights."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from timm.models import PretrainedCfg
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.foreign import ForeignNetwork, Loaded
from harness.models.repositories import CONFIGS, read_config, weight_files

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # open_clip's default
MODES = {"shortest": "center", "squash": "squash", "longest": "border"}  # open_clip's words for the resizing, timm's
TOWER = "visual."  # before the names of the image tower in a file


class ClipTransformer(ForeignNetwork):
    """open_clip's own vision transformer. Pooled: its image embedding, behind the projection."""

    num_prefix_tokens = 1
    has_class_token = True

    def forward_features(self, images: Tensor) -> Tensor:
        tower: Any = self.model
        tokens: Tensor = tower.transformer(tower._embeds(images))
        return tower.ln_post(tokens) if self._norm_first else tokens

    def forward_head(self, features: Tensor) -> Tensor:
        tower: Any = self.model
        pooled: Tensor = (tower._global_pool if self._norm_first else tower._pool)(features)[0]
        return pooled if tower.proj is None else pooled @ tower.proj

    @property
    def _norm_first(self) -> bool:
        tower: Any = self.model
        return tower.attn_pool is None and not tower.final_ln_after_pool

    def end_parameters(self) -> Collection[str]:
        return ("model.proj",)


class ClipResNet(ForeignNetwork):
    """CLIP's ResNet, pooled by attention."""

    pools_by_attention = True

    def forward_features(self, images: Tensor) -> Tensor:
        tower: Any = self.model
        found: Tensor = tower.stem(images)
        for layer in (tower.layer1, tower.layer2, tower.layer3, tower.layer4):
            found = layer(found)
        return found

    def forward_head(self, features: Tensor) -> Tensor:
        tower: Any = self.model
        pooled: Tensor = tower.attnpool(features)
        return pooled

    def group_matcher(self, **_: bool) -> Callable[[str], int]:
        def stage(name: str) -> int:
            part = name.split(".")[1]
            return int(part[-1]) if part.startswith("layer") else 4 if part == "attnpool" else 0

        return stage


class ClipTimm(ForeignNetwork):
    """A network of timm as the tower, with open_clip's projection behind it."""

    def __init__(self, model: nn.Module, config: Any) -> None:
        super().__init__(model, config)
        trunk: Any = model.trunk
        self.output_fmt = getattr(trunk, "output_fmt", "NCHW")
        self.num_prefix_tokens = int(getattr(trunk, "num_prefix_tokens", 0))
        self.has_class_token = bool(getattr(trunk, "has_class_token", False))

    def forward_features(self, images: Tensor) -> Tensor:
        trunk: Any = self.model.trunk
        found: Tensor = trunk.forward_features(images)
        return found

    def forward_head(self, features: Tensor) -> Tensor:
        tower: Any = self.model
        embedding: Tensor = tower.head(tower.trunk.forward_head(features))
        return embedding

    def group_matcher(self, **how: bool) -> Callable[[str], int]:
        from timm.models import group_parameters

        trunk: Any = self.model.trunk
        groups = group_parameters(trunk, trunk.group_matcher(**how))
        number = {f"model.trunk.{name}": at for at, names in groups.items() for name in names}
        return lambda name: number.get(name, max(groups))


def describe(folder: Path) -> PretrainedCfg:
    """How the images of a model are prepared."""
    found = read_config(folder / CONFIGS["open_clip"])
    prepared = found.get("preprocess_cfg", {})
    size = found["model_cfg"].get("vision_cfg", {}).get("image_size", 224)
    sides = {*size} if isinstance(size, list | tuple) else {size}
    if len(sides) != 1:
        raise HarnessError(f"{folder} is for images of {size} px; only square ones are read")
    side = int(sides.pop())
    return PretrainedCfg(
        input_size=(3, side, side),
        mean=tuple(prepared.get("mean") or CLIP_MEAN),
        std=tuple(prepared.get("std") or CLIP_STD),
        interpolation=prepared.get("interpolation") or "bicubic",
        crop_mode=MODES[prepared.get("resize_mode") or "shortest"],
        crop_pct=1.0,
        num_classes=0,
    )


def build(folder: Path, image_size: int) -> ForeignNetwork:
    """The image tower of a folder, for images of this size, with random weights."""
    network = _tower(folder, image_size)
    _resize(network, image_size)
    return network


def _resize(network: ForeignNetwork, image_size: int) -> None:
    """Set the size of a network of timm, as open_clip does: after its weights are loaded."""
    tower: Any = network.model
    if isinstance(network, ClipTimm) and image_size != network.pretrained_cfg["input_size"][-1]:
        tower.set_input_size(image_size)


def _tower(folder: Path, image_size: int) -> ForeignNetwork:
    """The image tower; one of timm has its native size, whatever is asked for."""
    try:
        from open_clip.model import CLIPVisionCfg, _build_vision_tower
    except ImportError:
        raise HarnessError("open_clip is not installed; pip install 'harness[open-clip]'") from None
    found = read_config(folder / CONFIGS["open_clip"])["model_cfg"]
    if "vision_cfg" not in found:
        raise HarnessError(f"{folder / CONFIGS['open_clip']} has no vision_cfg: it is no model of images")
    changed = {"image_size": image_size, "timm_model_pretrained": False, "output_tokens": False, "patch_dropout": 0.0}
    about = CLIPVisionCfg(**found["vision_cfg"] | changed)
    tower = _build_vision_tower(found["embed_dim"], about, found.get("quick_gelu", False))
    if about.timm_model_name:
        return ClipTimm(tower, describe(folder))
    kind = ClipResNet if isinstance(about.layers, tuple | list) else ClipTransformer
    network = kind(tower, describe(folder))
    native = network.pretrained_cfg["input_size"][-1]
    if kind is ClipResNet and image_size != native:
        raise HarnessError(f"CLIP's attention pooling takes images of {native} px alone")
    return network


def load(folder: Path, image_size: int) -> Loaded:
    """The image tower of a folder with its weights; the positions are interpolated as open_clip does."""
    from open_clip.convert import convert_state_dict
    from open_clip.factory import load_state_dict, resize_pos_embed

    network = _tower(folder, image_size)
    holder = nn.Module()
    holder.visual = network.model
    (path, *_) = sorted(weight_files(folder), key=lambda path: path.name)
    state: dict[str, Tensor] = convert_state_dict(holder, load_state_dict(str(path)))
    resize_pos_embed(state, holder)
    tower = {name.removeprefix(TOWER): value for name, value in state.items() if name.startswith(TOWER)}
    result = network.model.load_state_dict(tower, strict=False)
    found = {f"model.{name}": value.float() for name, value in tower.items()}
    missing, unexpected = ([f"model.{name}" for name in names] for names in result)
    _resize(network, image_size)
    return Loaded(network, frozenset(missing), found, tuple(unexpected))
