"""Settings that cannot be combined, found before anything is written."""

from collections.abc import Mapping
from typing import Any

from harness.study.origin import is_own, origin_of, short_name
from harness.study.settings import (
    BY_VECTORS,
    CLASSIFIERS,
    CROSS_ENTROPY,
    NETWORKS,
    PRETRAINED,
    PROBES,
    SYNTHESIS,
    VECTOR_HEADS,
    is_of_library,
    is_pretrained,
    level_text,
    natural_pool,
)

CONFLICTING = (  # the fields that `conflict` checks
    "backbone", "weights", "head", "pool", "trainable", "augment", "oversampling", "oversampling_ratio",
    "undersampling", "loss", "prior_correction", "train_share", "epochs", "schedule", "warmup", "label_smoothing",
    "optimizer", "layer_decay", "drop_path", "mixup", "cutmix",
)  # fmt: skip
MAY_UNDERSAMPLE = ("none", "random", "smote", "borderline-smote", "adasyn")  # of `oversampling`
SettingValues = Mapping[str, Any]  # of the settings, by name
Conflict = tuple[tuple[str, str], str]  # two fields, the one to change first, and why they cannot be combined


def conflict(values: SettingValues) -> Conflict | None:
    """The first conflict of these settings; None where they can be combined."""
    return next((found for check in _CHECKS if (found := check(values))), None)


def _of_the_backbone(values: SettingValues) -> Conflict | None:
    augment, weights, own = values["augment"], values["weights"], is_own(values["backbone"])
    if own and is_pretrained(weights):
        return ("weights", "backbone"), (
            f"weights {weights} with backbone {short_name(values['backbone'])}, a class of your own; write"
            " weights: none, or the path of a .safetensors file of it"
        )
    if not own and origin_of(values["backbone"]) is not None and weights.endswith(".safetensors"):
        return ("weights", "backbone"), (
            f"a weights file with backbone {values['backbone']}, which brings its own weights; write weights:"
            f" {PRETRAINED}, or none"
        )
    if values["trainable"] == "head" and augment != "none":
        return ("augment", "trainable"), (
            f"augment {augment} with trainable head: the features of a frozen backbone are computed once for"
            " each image, so every epoch sees the same ones; write augment: none, or trainable: all or last-N"
        )
    return None


def _of_the_head(values: SettingValues) -> Conflict | None:
    if values["head"] in PROBES and values["backbone"] not in CLASSIFIERS:
        own = values["backbone"] in NETWORKS  # these are trained, whatever is written
        if own or values["trainable"] != "head":
            setting = "backbone" if own else "trainable"
            return (setting, "head"), (
                f"{setting} {values[setting]} with head {values['head']}, which learns from the features of a frozen"
                f" backbone; {'name one of timm' if own else 'write trainable: head'}, or head: linear or mlp"
            )
    if values["head"] in VECTOR_HEADS and values["pool"] == "map":
        return ("pool", "head"), (
            f"pool map with head {values['head']}, which reads one vector of an image; allowed with it: native, avg,"
            " cls, cls+avg, max"
        )
    return None


def _of_oversampling(values: SettingValues) -> Conflict | None:
    oversampling, ratio, share = values["oversampling"], values["oversampling_ratio"], values["train_share"]
    if ":" in oversampling and ratio != 1:
        return ("oversampling_ratio", "oversampling"), (
            f"oversampling_ratio {level_text(ratio)} with oversampling {oversampling}, which decides by itself how many"
            " images it draws; write oversampling_ratio: 1.0, or oversampling: random"
        )
    if oversampling == "random-before-split" and share < 1:
        return ("train_share", "oversampling"), (
            f"train_share {level_text(share)} with oversampling random-before-split: that leak is measured on whole"
            " folds; write train_share: 1.0, or oversampling: none or random"
        )
    return None


def _of_undersampling(values: SettingValues) -> Conflict | None:
    oversampling, undersampling = values["oversampling"], values["undersampling"]
    if undersampling == "none" or oversampling in MAY_UNDERSAMPLE:
        return None
    return ("undersampling", "oversampling"), (
        f"undersampling {undersampling} with oversampling {oversampling}, which decides by itself what is left out, or"
        f" leaks; write undersampling: none, or one of oversampling: {', '.join(MAY_UNDERSAMPLE)}"
    )


def _of_vectors(values: SettingValues) -> Conflict | None:
    """Samplers that look for neighbours need the vectors of a frozen backbone."""
    oversampling, undersampling = values["oversampling"], values["undersampling"]
    if oversampling in SYNTHESIS or is_of_library(oversampling):
        setting = "oversampling"
    elif undersampling in BY_VECTORS:
        setting = "undersampling"
    else:
        return None
    words = f"{setting} {values[setting]} compares images by the vectors of a frozen backbone"
    if values["backbone"] in (*NETWORKS, *CLASSIFIERS):
        return (setting, "backbone"), f"backbone {values['backbone']}: {words}; name one of timm, or {setting}: random"
    if values["trainable"] != "head":
        return (setting, "trainable"), (
            f"trainable {values['trainable']}: {words}; write trainable: head, or {setting}: random"
        )
    if (values["pool"] or natural_pool(values["head"])) == "map":
        return (setting, "pool"), (
            f"pool map (head {values['head']}): {words}, and not its maps; write pool: avg or another one, or"
            f" {setting}: random"
        )
    return None


def _of_the_correction(values: SettingValues) -> Conflict | None:
    if values["prior_correction"] == "off":
        return None
    if ":" in values["loss"]:
        return ("prior_correction", "loss"), (
            f"prior_correction on with loss {values['loss']}, a loss of your own, whose weights of the classes are not"
            " known; write prior_correction: off, or a loss of the harness"
        )
    if values["backbone"] in CLASSIFIERS:
        return ("prior_correction", "backbone"), (
            f"prior_correction on with backbone {values['backbone']}, which has no head; write prior_correction: off"
        )
    return None


def _of_the_schedule(values: SettingValues) -> Conflict | None:
    warmup = values["warmup"]
    if warmup >= values["epochs"]:
        return ("warmup", "epochs"), (
            f"warmup {level_text(warmup)} with epochs {values['epochs']}: the learning rate would rise to the end of"
            " the fit; write a warmup of fewer epochs, or more epochs"
        )
    if warmup and values["schedule"] == "one-cycle":
        return ("warmup", "schedule"), (
            f"warmup {level_text(warmup)} with schedule one-cycle, which begins with a rise of its own; write"
            " warmup: 0, or schedule: cosine"
        )
    return None


def _of_the_loss(values: SettingValues) -> Conflict | None:
    loss, smoothing = values["loss"], values["label_smoothing"]
    if smoothing and (loss == "focal" or ":" in loss):
        return ("label_smoothing", "loss"), (
            f"label_smoothing {level_text(smoothing)} with loss {loss}, which is no cross-entropy of which the labels"
            " could be smoothed; write label_smoothing: 0, or loss: cross-entropy"
        )
    return None


def _of_the_layers(values: SettingValues) -> Conflict | None:
    """Of what concerns the layers of a backbone, which must be trained and known to timm."""
    backbone, optimizer = values["backbone"], values["optimizer"]
    for name, off in (("layer_decay", 1), ("drop_path", 0)):
        given = f"{name} {level_text(values[name])}"
        if values[name] == off:
            continue
        if values["trainable"] == "head" and backbone not in NETWORKS:
            return (name, "trainable"), (
                f"{given} with trainable head: no layer of a frozen backbone is trained; write {name}: {off}, or"
                " trainable: all or last-N"
            )
        if not _is_of_timm(backbone):
            return (name, "backbone"), (
                f"{given} with backbone {short_name(backbone)}: only of timm's networks are the layers known; write"
                f" {name}: {off}, or name one of timm"
            )
    if values["layer_decay"] < 1 and ":" in optimizer:
        return ("layer_decay", "optimizer"), (
            f"layer_decay {level_text(values['layer_decay'])} with optimizer {optimizer}, which sets its rates by"
            " itself; write layer_decay: 1, or an optimizer of torch or timm"
        )
    return None


def _is_of_timm(backbone: str) -> bool:
    origin = origin_of(backbone)
    return backbone not in NETWORKS and (origin is None or origin.library == "timm")


def _of_mixed_images(values: SettingValues) -> Conflict | None:
    for name in ("mixup", "cutmix"):
        given = f"{name} {level_text(values[name])}"
        if values[name] and values["trainable"] == "head" and values["backbone"] not in NETWORKS:
            return (name, "trainable"), (
                f"{given} with trainable head: the features of a frozen backbone are computed once for each image, and"
                f" none is mixed; write {name}: 0, or trainable: all or last-N"
            )
        if values[name] and values["loss"] != CROSS_ENTROPY:
            return (name, "loss"), (
                f"{given} with loss {values['loss']}, which is of one class for each image; write {name}: 0, or"
                f" loss: {CROSS_ENTROPY}"
            )
    return None


_CHECKS = (
    _of_the_backbone, _of_the_head, _of_oversampling, _of_undersampling, _of_vectors, _of_the_correction,
    _of_the_schedule, _of_the_loss, _of_the_layers, _of_mixed_images,
)  # fmt: skip
