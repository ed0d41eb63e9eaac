"""Settings that cannot be combined, found before anything is written."""

from harness.study.allowed import (
    BY_VECTORS,
    CLASSIFIERS,
    NETWORKS,
    PRETRAINED,
    PROBES,
    SYNTHESIS,
    VECTOR_HEADS,
    is_of_library,
    is_pretrained,
)
from harness.study.origin import is_own, origin_of, short_name
from harness.study.recipe_conflicts import RECIPE_CHECKS
from harness.study.settings import level_text, natural_pool
from harness.study.types import Conflict, ConflictCheck, SettingValues

MAY_UNDERSAMPLE = ("none", "random", "smote", "borderline-smote", "adasyn")  # of `oversampling`


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
            " each image, so every epoch sees the same ones; write augment: none, or trainable: all, last-N or lora-R"
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


CHECKS: tuple[ConflictCheck, ...] = (  # each with the fields that it reads
    (_of_the_backbone, ("backbone", "weights", "trainable", "augment")),
    (_of_the_head, ("backbone", "trainable", "head", "pool")),
    (_of_oversampling, ("oversampling", "oversampling_ratio", "train_share")),
    (_of_undersampling, ("oversampling", "undersampling")),
    (_of_vectors, ("oversampling", "undersampling", "backbone", "trainable", "head", "pool")),
    (_of_the_correction, ("prior_correction", "loss", "backbone")),
    (_of_the_schedule, ("schedule", "warmup", "epochs")),
    *RECIPE_CHECKS,
)
