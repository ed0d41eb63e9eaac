"""The heads, backbones and weights that a study names: whether they exist, and their hashes."""

import os

from harness.models.custom import head_source, is_custom
from harness.models.names import HEADS, all_backbones, known_backbone
from harness.store.files import file_digest
from harness.study import Study
from harness.study.messages import unknown
from harness.study.settings import CLASSIFIERS, NETWORKS, weights_file
from harness.study.strict_yaml import FieldPath


def check_models(study: Study) -> None:
    """Raise StudyError for a head or a backbone that does not exist, naming the place in the study file."""
    for field, settings in study.settings():
        if settings.head not in HEADS and not is_custom(settings.head):
            raise study.error(_at(field, "head"), unknown("head", settings.head, HEADS))
        if not known_backbone(settings.backbone):
            raise study.error(_at(field, "backbone"), unknown("backbone", settings.backbone, sorted(all_backbones())))


def custom_heads(study: Study) -> dict[str, str]:
    """Read the sources of custom heads. Raises StudyError, naming the place in the study file."""
    found: dict[str, str] = {}
    for field, settings in study.settings():
        if is_custom(settings.head) and settings.head not in found:
            with study.blamed(*_at(field, "head")):
                found[settings.head] = head_source(settings.head, study.folder)
    return found


def _at(field: FieldPath, name: str) -> FieldPath:
    return (*field, name) if field == ("base",) else field


def weights_digests(study: Study) -> dict[tuple[str, str], str]:
    """The hash of the weights of every backbone that the study can meet.

    Raises StudyError where a file is missing.
    """
    files: dict[str, str] = {}
    for field, settings in study.settings():
        if settings.weights.endswith(".safetensors") and settings.weights not in files:
            path = weights_file(settings.weights)
            if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises for a name that is too long
                raise study.error(_at(field, "weights"), f"{settings.weights} is not there; name a .safetensors file")
            files[settings.weights] = file_digest(path)
    every = [settings for _, settings in study.settings()]
    names = {settings.backbone for settings in every}
    return {
        (backbone, weights): files.get(weights) or (f"imagenet:{backbone}" if weights == "imagenet" else "none")
        for backbone in names
        for weights in {settings.weights for settings in every}
    } | {(name, "none"): "none" for name in names if name in NETWORKS or name in CLASSIFIERS}
