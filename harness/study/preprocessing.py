"""How an image becomes the square that a network reads: as the study says, or as the weights were trained."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import AfterValidator

OF_STUDY, NATIVE = "study", "native"
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
MAX_CROP_PCT = 2
CropMode = Literal["center", "squash"]  # timm's words
_FORM = re.compile(rf"({'|'.join(get_args(Interpolation))})-({'|'.join(get_args(CropMode))})-(\d(?:\.\d+)?)")


class EvalTransform(NamedTuple):
    """timm's transform for evaluation: resize to `size / crop_pct`, and take the square in the middle.

    center: the shorter side is resized, in the proportions of the image; squash: both are, apart. A crop_pct above 1
    leaves a black border.
    """

    interpolation: Interpolation
    mode: CropMode
    crop_pct: float

    def __str__(self) -> str:
        """The setting of a study: `bicubic-center-0.9`."""
        return f"{self.interpolation}-{self.mode}-{self.crop_pct:g}"

    @property
    def words(self) -> str:
        """The crop in words."""
        sides = "both sides, apart" if self.mode == "squash" else "the shorter side"
        return f"a square of the middle, {self.crop_pct:g} of {sides}"


def eval_transform(words: str) -> EvalTransform | None:
    """The transform that a setting spells out; None where it spells none."""
    found = _FORM.fullmatch(words)
    return EvalTransform(found[1], found[2], float(found[3])) if found else None  # type: ignore[arg-type]


def _preprocessing(value: str) -> str:
    known = eval_transform(value)
    if value not in (OF_STUDY, NATIVE) and not (known and 0 < known.crop_pct < MAX_CROP_PCT):
        raise ValueError(
            f"allowed: {OF_STUDY} (bilinear, by data.resize), {NATIVE} (that of the weights), or"
            " INTERPOLATION-MODE-CROP such as bicubic-center-0.9: nearest, bilinear, bicubic or lanczos; center or"
            f" squash; timm's crop_pct, above 0 and below {MAX_CROP_PCT}"
        )
    return str(known or value)


Preprocessing = Annotated[str, AfterValidator(_preprocessing)]


def _spelled_out(value: str) -> str:
    if eval_transform(value) is None:
        raise ValueError("not a transform such as bicubic-center-0.9")
    return value


SpelledOut = Annotated[str, AfterValidator(_spelled_out)]


class Framing(NamedTuple):
    """The squares that a network reads: their side in pixels, and how they are made."""

    size: int
    preprocessing: str = OF_STUDY

    def __str__(self) -> str:
        """The framing in words: `224 px`, `224 px, bicubic-center-0.9`."""
        return f"{self.size} px" if self.preprocessing == OF_STUDY else f"{self.size} px, {self.preprocessing}"


@dataclass(frozen=True)
class NativeInputs:
    """What the word `native` stands for, by backbone; empty where no setting has it."""

    sizes: Mapping[str, int] = field(default_factory=dict)
    preprocessing: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> dict[str, Any]:
        """What records and ids hold of it."""
        found = {"native_sizes": dict(self.sizes), "native_preprocessing": dict(self.preprocessing)}
        return {name: value for name, value in found.items() if value}

    @staticmethod
    def of(content: Mapping[str, Any]) -> "NativeInputs":
        """The inputs of a record."""
        return NativeInputs(content.get("native_sizes", {}), content.get("native_preprocessing", {}))
