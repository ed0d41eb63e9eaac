"""Settings of a recipe, of how the gradient steps are made, that cannot be combined with others."""

from harness.study.allowed import CLASSIFIERS, CROSS_ENTROPY, NETWORKS, PROBES
from harness.study.origin import origin_of, short_name
from harness.study.settings import level_text
from harness.study.types import Conflict, ConflictCheck, SettingValues


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
        if _is_frozen(values):
            return (name, "trainable"), (
                f"{given} with trainable head: no layer of a frozen backbone is trained; write {name}: {off}, or"
                " trainable: all, last-N or lora-R"
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


def _is_frozen(values: SettingValues) -> bool:
    """Whether no layer of the backbone is trained; the networks of the harness are, whatever is written."""
    return values["trainable"] == "head" and values["backbone"] not in NETWORKS


def _is_of_timm(backbone: str) -> bool:
    origin = origin_of(backbone)
    return backbone not in NETWORKS and (origin is None or origin.library == "timm")


def _of_mixed_images(values: SettingValues) -> Conflict | None:
    for name in ("mixup", "cutmix"):
        given = f"{name} {level_text(values[name])}"
        if values[name] and _is_frozen(values):
            return (name, "trainable"), (
                f"{given} with trainable head: the features of a frozen backbone are computed once for each image, and"
                f" none is mixed; write {name}: 0, or trainable: all, last-N or lora-R"
            )
        if values[name] and values["loss"] != CROSS_ENTROPY:
            return (name, "loss"), (
                f"{given} with loss {values['loss']}, which is of one class for each image; write {name}: 0, or"
                f" loss: {CROSS_ENTROPY}"
            )
    return None


def _of_stopping(values: SettingValues) -> Conflict | None:
    if not values["stop_patience"]:
        return None
    given = f"stop_patience {values['stop_patience']}"
    if values["select_epoch"] == "best":
        return ("select_epoch", "stop_patience"), (
            f"select_epoch best with {given}: the epoch is chosen by images held out of training, and not by those of"
            " validation; write select_epoch: last, or stop_patience: 0"
        )
    if values["schedule"] != "constant":
        return ("stop_patience", "schedule"), (
            f"{given} with schedule {values['schedule']}, which is planned for all epochs and would be cut; write"
            " schedule: constant, or stop_patience: 0"
        )
    if values["oversampling"] == "random-before-split":
        return ("stop_patience", "oversampling"), (
            f"{given} with oversampling random-before-split: copies of the images held out would be trained on; write"
            " stop_patience: 0, or another oversampling"
        )
    return None


def _of_the_head_alone(values: SettingValues) -> Conflict | None:
    given = f"head_epochs {values['head_epochs']}"
    if values["head_epochs"] and _is_frozen(values):
        return ("head_epochs", "trainable"), (
            f"{given} with trainable head, which trains the head alone in every epoch; write head_epochs: 0, or"
            " trainable: all, last-N or lora-R"
        )
    if values["head_epochs"] and values["head_epochs"] >= values["epochs"]:
        return ("head_epochs", "epochs"), (
            f"{given} of epochs {values['epochs']}: no epoch is left for the backbone; write more epochs, or"
            " trainable: head"
        )
    return None


def _of_the_views(values: SettingValues) -> Conflict | None:
    if values["tta"] == "none":
        return None
    if values["backbone"] in CLASSIFIERS:
        return ("tta", "backbone"), (
            f"tta {values['tta']} with backbone {values['backbone']}, which is no trained network; write tta: none"
        )
    if _is_frozen(values):
        return ("tta", "trainable"), (
            f"tta {values['tta']} with trainable head: the features of a frozen backbone are computed once for each"
            " image, and of no other view of it; write tta: none, or trainable: all, last-N or lora-R"
        )
    return None


def _of_the_snapshots(values: SettingValues) -> Conflict | None:
    wanted, epochs = values["snapshots"], values["epochs"]
    given = f"snapshots {wanted}"
    if wanted == 1 or values["backbone"] in CLASSIFIERS or values["head"] in PROBES:
        return None
    if wanted > epochs:
        return ("snapshots", "epochs"), (
            f"{given} of epochs {epochs}: there is one network after each epoch; write snapshots: {epochs} or fewer,"
            " or more epochs"
        )
    if values["select_epoch"] == "best":
        return ("snapshots", "select_epoch"), (
            f"{given} with select_epoch best, which names one epoch; write snapshots: 1, or select_epoch: last"
        )
    if values["stop_patience"]:
        return ("snapshots", "stop_patience"), (
            f"{given} with stop_patience {values['stop_patience']}, which names one epoch; write snapshots: 1, or"
            " stop_patience: 0"
        )
    return None


RECIPE_CHECKS: tuple[ConflictCheck, ...] = (
    (_of_the_loss, ("loss", "label_smoothing")),
    (_of_the_layers, ("layer_decay", "drop_path", "trainable", "backbone", "optimizer")),
    (_of_the_head_alone, ("head_epochs", "trainable", "backbone", "epochs")),
    (_of_stopping, ("stop_patience", "select_epoch", "schedule", "oversampling")),
    (_of_mixed_images, ("mixup", "cutmix", "trainable", "backbone", "loss")),
    (_of_the_views, ("tta", "trainable", "backbone")),
    (_of_the_snapshots, ("snapshots", "epochs", "select_epoch", "stop_patience", "head", "backbone")),
)
