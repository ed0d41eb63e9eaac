"""Ids and seeds: hashes of everything that determines a number. The same id means the same work."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from harness.study.origin import is_folder, portable_name
from harness.study.pixel_rules import PixelRules
from harness.study.settings import OWN_PARTS, Settings, decisive, todays_word
from harness.study.study import Study

PIXEL_FIELDS = {"resize", "window", "frame"}  # of `data`: in an id where they are not at their default
NOT_IN_IDS = PIXEL_FIELDS | {  # of `data`: the others are in every id by the digest of the manifest or the metadata
    "path", "on_bad_image", "patient_scope", "root", "columns", "labels", "splits", "links", "metadata", "test",
    "corrections",
}  # fmt: skip
NUMERICS = 4  # raise it when a change of the code changes results: every job gets a new id
BF16_NUMERICS = 5  # the same of whole networks with `precision: bf16`, whose heads compute in fp32 since
SOLVED_NUMERICS = 5  # the same of `logistic` and `svm`, which are solved in another way, and closer, since
SOLVED = ("logistic", "svm")
# 4: layers that timm trains after its pooling are included, class and register tokens are not part of a map, and
# unused parameters are neither trained nor counted


@dataclass(frozen=True)
class Digests:
    """The hashes of all inputs from outside the study file."""

    manifest: str
    folds: Mapping[tuple[int, int], str]  # (repeat, fold)
    weights: Mapping[tuple[str, str], str]  # (backbone, weights)
    heads: Mapping[str, str] = field(default_factory=dict)  # own head, loss or optimizer -> hash of its source
    metadata: str | None = None  # of the images; it decides tables, and no fit
    sets: str | None = None  # the test images of further sets; they decide no fit to a fold

    @property
    def all_folds(self) -> str:
        """The hash of the whole fold assignment."""
        return digest([[*key, value] for key, value in sorted(self.folds.items())])


def digest(value: Any) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derive_seed(*coordinates: int | str | None) -> int:
    """A seed in [0, 2**31) from the coordinates of a fit; it does not depend on when or where the fit runs."""
    return int(digest(list(coordinates)), 16) % 2**31


def numerics(settings: Settings) -> int:
    """The number that decides the results of these settings together with them."""
    if settings.head in SOLVED:
        return SOLVED_NUMERICS
    return BF16_NUMERICS if settings.precision == "bf16" and settings.trainable != "head" else NUMERICS


def settings_identity(settings: Settings, digests: Digests) -> dict[str, Any]:
    """The settings that decide the numbers, with the weights by their content instead of their path."""
    values = decisive(settings.model_dump())
    values["backbone"] = portable_name(settings.backbone)
    values["weights"] = digests.weights[settings.backbone, settings.weights]
    for part in OWN_PARTS:
        if (name := getattr(settings, part)) in digests.heads:
            values[part] = [name, digests.heads[name]]
    return values


def pixels_identity(rules: PixelRules) -> dict[str, Any]:
    """The part of an identity that says how files become pixels; empty by default, so that older ids stay."""
    return {"pixels": rules.changed} if rules.changed else {}


def sets_identity(digests: Digests) -> dict[str, Any]:
    """The part of an identity that says what is scored beside the leading test set; empty for a single one."""
    return {"sets": digests.sets} if digests.sets else {}


def search_id(study: Study, digests: Digests) -> str:
    """The hash of a search and all its inputs, without the budget (trials, timeout, confirm)."""
    content = study.model_dump(
        include={"study": True, "data": True, "folds": True, "base": True, "seed": True, "search": True},
        exclude={"data": NOT_IN_IDS, "base": {"weights"}, "search": {"trials", "timeout", "confirm"}},
    )
    content["base"] = decisive(content["base"])
    _remove_undrawn(content["folds"])
    content |= pixels_identity(study.data.pixel_rules) | study.native.content
    return _whole_id(content, digests)


def _remove_undrawn(folds: dict[str, Any]) -> None:
    """Remove what decides nothing from the block `folds`: of folds in a column all but `by`, else that."""
    for name in ["by"] if folds["by"] == "random" else ["k", "repeats", "seed"]:
        del folds[name]


def study_id(study: Study, digests: Digests) -> str:
    """The hash of the study and all its inputs: runs and tables of different ids are never mixed."""
    excluded: Any = {
        "description": True,
        "search": True,
        "paper": True,
        "checkpoint_every": True,
        "data": NOT_IN_IDS,
        "base": {"weights"},
    }
    content = study.model_dump(exclude=excluded)
    content["base"] = decisive(content["base"])
    _remove_undrawn(content["folds"])
    content |= pixels_identity(study.data.pixel_rules) | study.native.content
    if study.test and study.test.scenarios == "winner":
        del content["test"]["scenarios"]  # the default of a field that was added after the first results
    content |= sets_identity(digests)
    content["stages"] = [_by_content(stage, digests) for stage in content["stages"]]
    return _whole_id(content, digests)


def _by_content(stage: dict[str, Any], digests: Digests) -> dict[str, Any]:
    """The stage without the paths of weights files: a factor of them is in the digests, others are there by content.

    A file that is elsewhere now is known by its name.
    """
    known = {name: value for (_, name), value in digests.weights.items() if name.endswith(".safetensors")}
    known = {PurePath(name).name: value for name, value in known.items()} | known

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(each) for key, each in value.items()}
        if isinstance(value, list):
            return list(map(replaced, value))
        if isinstance(value, str) and value.endswith(".safetensors"):
            return known.get(value) or known.get(PurePath(value).name, "not known")
        return todays_word(value)

    factor = stage["grid"].get("weights", [])
    plain = not any(isinstance(level, dict) for level in factor)
    grid = {key: levels for key, levels in stage["grid"].items() if key != "weights" or not plain}
    found: dict[str, Any] = replaced({**stage, "grid": grid})
    return found


def _folders_by_content(value: Any, digests: Digests) -> Any:
    """Plain data with the folders of backbones by their content; one that is elsewhere now is known by its name."""
    known = {name: f"{portable_name(name)}:{of}" for (name, _), of in digests.weights.items() if is_folder(name)}
    known = {PurePath(name).name: of for name, of in known.items()} | known

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {replaced(key): replaced(each) for key, each in value.items()}
        if isinstance(value, list):
            return list(map(replaced, value))
        if isinstance(value, str) and is_folder(value):
            return known.get(value) or known.get(PurePath(value).name, "not known")
        return value

    return replaced(value)


def _whole_id(content: dict[str, Any], digests: Digests) -> str:
    """The hash of the content of a study file and all its inputs."""
    content = _folders_by_content(content, digests)
    heads = [dict(digests.heads)] if digests.heads else []
    weights = sorted({(at[0], todays_word(at[1])): value for at, value in digests.weights.items()}.values())
    metadata = [digests.metadata] if digests.metadata else []
    return digest([NUMERICS, content, digests.manifest, digests.all_folds, weights, *heads, *metadata])
