"""Vision models of transformers, an extra, from a folder that `save_pretrained` wrote."""

import inspect
from pathlib import Path
from typing import Any

import torch
from timm.models import PretrainedCfg
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.models.foreign import ForeignNetwork, Loaded, NetworkOutput
from harness.models.repositories import DESCRIBING, read_config

EIGHT_BITS = 1 / 255
RESAMPLING = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # the numbers of Pillow
HIDING = ("vit_mae",)  # these read a part of the patches, drawn at random
PREFIXES = {"dinov3_convnext": 1}  # tokens that are no parameter


class TransformersNetwork(ForeignNetwork):
    """The vision model of a folder. Its pooled feature is `pooler_output`, else the class token, else the mean.

    Its places are `last_hidden_state`. At another size than it was trained with its positions are interpolated, where
    the library can.
    """

    def __init__(self, model: nn.Module, config: Any, about: Any) -> None:
        super().__init__(model, config)
        tokens = {name.rpartition(".")[2]: value for name, value in model.named_parameters()}
        extra = tokens["register_tokens"].shape[1] if "register_tokens" in tokens else 0
        self.has_class_token = bool({"cls_token", "class_embedding"} & tokens.keys()) or about.model_type in PREFIXES
        self.num_prefix_tokens = self.has_class_token + ("distillation_token" in tokens) + extra
        side = getattr(about, "image_size", None)
        self._side = side[0] if isinstance(side, list | tuple) else side
        self._interpolates = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters

    def forward_features(self, images: Tensor) -> NetworkOutput:
        at_other_size = self._interpolates and images.shape[-1] != self._side
        found = self.model(pixel_values=images, **({"interpolate_pos_encoding": True} if at_other_size else {}))
        places: Tensor = found.last_hidden_state
        pooled = found.get("pooler_output")
        if pooled is None:
            flat = places.flatten(2).transpose(1, 2) if places.ndim == 4 else places
            pooled = flat[:, 0] if self.has_class_token else flat.mean(dim=1)
        return NetworkOutput(places, pooled.flatten(1))

    def forward_head(self, features: NetworkOutput) -> Tensor:
        return features.pooled


def describe(folder: Path) -> PretrainedCfg:
    """How the images of a model are prepared. Raises HarnessError where the folder does not say it."""
    about = _config_of(folder)
    prepared = _preprocessing(folder)
    size = _size(folder, prepared, about)
    mode, crop = _crop(prepared, size)
    normalised = prepared.get("do_normalize", True)
    return PretrainedCfg(
        input_size=(3, size, size),
        mean=tuple(prepared["image_mean"]) if normalised else (0.0, 0.0, 0.0),
        std=tuple(prepared["image_std"]) if normalised else (1.0, 1.0, 1.0),
        interpolation=RESAMPLING.get(prepared.get("resample", 2), "bilinear"),
        crop_mode=mode,
        crop_pct=crop,
        num_classes=0,
    )


def build(folder: Path, _: int) -> TransformersNetwork:
    """The network of a folder with random weights, for images of any size, as far as positions can be interpolated."""
    from transformers import AutoModel

    about = _config_of(folder)
    model = AutoModel.from_config(about, dtype=torch.float32)
    return _network(model, folder, about)


def load(folder: Path, _: int) -> Loaded:
    """The network of a folder with its weights."""
    from transformers import AutoModel

    about = _config_of(folder)
    model, found = AutoModel.from_pretrained(
        folder, config=about, dtype=torch.float32, output_loading_info=True, local_files_only=True
    )
    network = _network(model, folder, about)
    state, modules = network.state_dict(), dict(network.named_modules())
    missing = frozenset(name for name in (f"model.{name}" for name in found["missing_keys"]) if name in state)
    # transformers does not say what the others hold: of a further block or layer, which is another network, a matrix
    others = [f"model.{name}" for name in found["unexpected_keys"] if name.endswith(".weight") and "." in name]
    others = [name for name in others if ".".join(name.split(".")[:2]) in modules]
    return Loaded(network, missing, state | {name: torch.zeros(1, 1) for name in others}, tuple(others))


def _network(model: Any, folder: Path, about: Any) -> TransformersNetwork:
    if getattr(model, "pooler", None) is not None and _saved_without_pooler(about):
        model.pooler = None
    return TransformersNetwork(model, describe(folder), about)


def _config_of(folder: Path) -> Any:
    """The config of the vision model in a folder. Raises HarnessError where it has none that reads whole images."""
    try:
        import transformers
    except ImportError:
        raise HarnessError("transformers is not installed; pip install 'harness[transformers]'") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    whole = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    about = getattr(whole, "vision_config", None) or whole
    kind = transformers.AutoModel._model_mapping.get(type(about), None)
    reads = getattr(kind, "main_input_name", "nothing that is known")
    if reads != "pixel_values":
        raise HarnessError(f"{folder} is no model of images: {about.model_type} reads {reads}")
    if about.model_type in HIDING:
        raise HarnessError(f"{folder} is {about.model_type}, which reads a part of each image, drawn at random")
    return about


def _saved_without_pooler(about: Any) -> bool:
    """Whether the model was saved as a classifier of images that does not read the pooler of its network."""
    import transformers

    kind = getattr(transformers, (about.architectures or [""])[0], None)
    if kind is None or not kind.__name__.endswith("ForImageClassification"):
        return False
    with torch.device("meta"):
        return getattr(kind(about).base_model, "pooler", None) is None


def _preprocessing(folder: Path) -> dict[str, Any]:
    """The config of the image processor. Raises HarnessError where there is none, or one that is not followed."""
    for name in DESCRIBING:
        if (folder / name).is_file():
            found: dict[str, Any] = read_config(folder / name)
            found = found.get("image_processor", found)
            break
    else:
        raise HarnessError(
            f"{folder} has no {DESCRIBING[0]}, so how its images are normalised is unknown; save_pretrained of the"
            " image processor writes it"
        )
    scaled = found.get("rescale_factor", EIGHT_BITS)
    if abs(scaled - EIGHT_BITS) > 1e-6 or found.get("rescale_offset"):
        raise HarnessError(f"{folder} scales pixels by {scaled:g} and an offset, which is not supported; 1/255 is")
    if found.get("do_normalize", True) and not {"image_mean", "image_std"} <= found.keys():
        raise HarnessError(f"{folder} names no image_mean and image_std in its image processor")
    return found


def _crop(prepared: dict[str, Any], size: int) -> tuple[str, float]:
    """timm's crop_mode and crop_pct of what the image processor does."""
    given = prepared.get("size")
    if isinstance(given, dict) and "height" in given and not prepared.get("do_center_crop"):
        return "squash", 1.0
    shorter = given.get("shortest_edge", size) if isinstance(given, dict) else given or size
    return "center", prepared.get("crop_pct") or min(size / shorter, 1.0)


def _size(folder: Path, prepared: dict[str, Any], about: Any) -> int:
    """The side of the images that the weights were trained with."""
    crop, size = prepared.get("crop_size"), prepared.get("size")
    given: Any = crop if crop and prepared.get("do_center_crop", True) else size or getattr(about, "image_size", None)
    if isinstance(given, dict):
        given = [given["height"], given["width"]] if "height" in given else given.get("shortest_edge")
    sides = {*given} if isinstance(given, list | tuple) else {given}
    if len(sides) != 1 or None in sides:
        raise HarnessError(f"{folder} does not say the side of square images; it says {given}")
    return int(sides.pop())
