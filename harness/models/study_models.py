"""The heads, backbones and weights that a study names: whether they exist, and their hashes."""

import os
from pathlib import Path

from harness.models.names import HEADS, all_backbones, known_backbone
from harness.models.repositories import content_digest, folder_of, require_installed
from harness.models.timm_optimizers import optimizer_problem
from harness.store.files import file_digest
from harness.study import Study
from harness.study.allowed import CLASSIFIERS, NETWORKS, is_pretrained
from harness.study.messages import unknown
from harness.study.origin import origin_of
from harness.study.own_file import head_source, is_custom
from harness.study.preprocessing import NativeInputs
from harness.study.settings import OWN_PARTS, weights_file

PAIR = ("backbone", "weights")


def check_models(study: Study) -> None:
    """Raise StudyError, naming the place in the study file, for a head, backbone or optimizer that does not exist."""
    for field, settings in study.settings():
        if settings.head not in HEADS and not is_custom(settings.head):
            raise study.error(study.place(field, "head"), unknown("head", settings.head, HEADS))
        if not known_backbone(settings.backbone):
            place = study.place(field, "backbone")
            raise study.error(place, unknown("backbone", settings.backbone, sorted(all_backbones())))
        if not is_custom(settings.optimizer) and (problem := optimizer_problem(settings.optimizer)):
            raise study.error(study.place(field, "optimizer"), problem)
        if origin := origin_of(settings.backbone):
            with study.blamed(*study.place(field, "backbone")):
                require_installed(origin)
                folder_of(origin, weights=is_pretrained(settings.weights) and not origin.repo)
    _check_bound(study)


def native_inputs(study: Study) -> NativeInputs:
    """What `native` stands for, of every backbone, as timm has it; empty where no setting asks for it.

    Raises StudyError, naming the place in the study file, for a backbone of which timm does not know it.
    """
    every = [*study.settings()]
    asking = {name: field for field, settings in reversed(every) for name in settings.native}  # the first of each
    if not asking:
        return NativeInputs()
    from harness.models.networks import native_preprocessing, native_size

    names = dict.fromkeys(settings.backbone for _, settings in every if not settings.is_built_in)
    sizes, words = dict[str, int](), dict[str, str]()
    if "image_size" in asking:
        with study.blamed(*study.place(asking["image_size"], "image_size")):
            sizes = {name: native_size(name) for name in names}
    if "preprocessing" in asking:
        with study.blamed(*study.place(asking["preprocessing"], "preprocessing")):
            words = {name: native_preprocessing(name) for name in names}
    return NativeInputs(sizes, words)


def custom_heads(study: Study) -> dict[str, str]:
    """Read the sources of the user's own parts. Raises StudyError, naming the place in the file."""
    found: dict[str, str] = {}
    for field, settings in study.settings():
        for part in OWN_PARTS:
            name = getattr(settings, part)
            if is_custom(name) and name not in found:
                with study.blamed(*study.place(field, part)):
                    found[name] = head_source(name, study.folder, part)
    for index, name in enumerate(study.metrics):
        with study.blamed("metrics", index):
            found[name] = head_source(name, study.folder, "metric")
    return found


def weights_digests(study: Study) -> dict[tuple[str, str], str]:
    """The hash of the weights of every backbone that the study can meet.

    Raises StudyError where a file is missing.
    """
    files: dict[str, str] = {}
    for field, settings in study.settings():
        if settings.weights.endswith(".safetensors") and settings.weights not in files:
            path = weights_file(settings.weights)
            if not os.path.isfile(path):  # noqa: PTH113 - pathlib raises for a name that is too long
                raise study.error(
                    study.place(field, "weights"), f"{settings.weights} is not there; name a .safetensors file"
                )
            files[settings.weights] = file_digest(path)
    pairs = _pairs(study) | {
        (backbone, "none") for backbone, _ in _pairs(study) if backbone in NETWORKS or backbone in CLASSIFIERS
    }
    return {
        (backbone, weights): _elsewhere(backbone, weights, files.get(weights, "none"))
        or files.get(weights)
        or (f"imagenet:{backbone}" if is_pretrained(weights) else "none")
        for backbone, weights in sorted(pairs)
    }


def _elsewhere(backbone: str, weights: str, file: str) -> str | None:
    """What a backbone from elsewhere is; None for a model of timm itself. file: the hash of a weights file."""
    origin = origin_of(backbone)
    return None if origin is None else content_digest(origin, is_pretrained(weights), file)


def _pairs(study: Study) -> set[tuple[str, str]]:
    """The backbones with the weights that each can meet: all with all, but for what a level brings with it."""
    brought = {at for _, _, at, level in study.levels() if level.brings}
    plain = [settings for field, settings in study.settings() if field not in brought]
    every = {(one.backbone, other.weights) for one in plain for other in plain}
    return every | {(each.backbone, each.weights) for found in study.reached(PAIR) for each in found}


def _check_bound(study: Study) -> None:
    """Raise StudyError where one weights file meets several networks of timm: it is the file of one of them."""
    found = [settings for stage in study.reached(PAIR) for settings in stage]
    found += [study.base.model_copy(update=point) for point in (study.search.reachable(PAIR) if study.search else ())]
    networks: dict[str, dict[str, str]] = {}  # file -> architecture -> backbone
    for each in found:
        if each.weights.endswith(".safetensors") and not each.is_built_in:
            networks.setdefault(each.weights, {}).setdefault(each.backbone.partition(".")[0], each.backbone)
    for file, backbones in networks.items():
        if len(backbones) > 1:
            names, written = [*backbones.values()], study.as_written(file)
            field = next(study.place(at, "weights") for at, settings in study.settings() if settings.weights == file)
            raise study.error(
                field,
                f"{written} is the file of one network, and it would meet {len(names)}: {', '.join(names[:3])}"
                f"{', ...' if len(names) > 3 else ''}; let each level of backbone bring its own:"
                f" {{name: {names[0]}, weights: {Path(written).name}}}",
            )
