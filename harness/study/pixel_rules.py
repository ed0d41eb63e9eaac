"""How image files become pixels: the fields of `data` that change what a network sees of the same files."""

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import PlainValidator, WithJsonSchema

from harness.study.number_words import number_of
from harness.study.preprocessing import OF_STUDY, SpelledOut

Resize = Literal["squash", "crop", "letterbox"]
NamedWindow = Literal["full", "percentile"]
Window = NamedWindow | tuple[float, float]
NAMED_WINDOWS: tuple[NamedWindow, ...] = get_args(NamedWindow)
_WORDS = "allowed: full, percentile, or [low, high], two numbers, the lower one first"


def _window(value: Any) -> Window | None:
    """Check a window of a study file; one validator, so that an error names the field and all that it takes."""
    if value is None:
        return None
    for name in NAMED_WINDOWS:
        if value == name:
            return name
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(map(_is_number, value)):
        raise ValueError(_WORDS)
    low, high = map(float, value)
    if not low < high:
        raise ValueError(_WORDS)
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


GivenWindow = Annotated[
    Any,  # `Window | None`, of which pydantic would say that it does not fit once it is a list in JSON
    PlainValidator(_window),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*NAMED_WINDOWS], "type": "string"},
                {"items": {"type": "number"}, "maxItems": 2, "minItems": 2, "type": "array"},
                {"type": "null"},
            ],
            "default": None,
        }
    ),
]


@dataclass(frozen=True)
class PixelRules:
    """How a file becomes pixels.

    resize: how an image becomes a square; the name of one of timm's transforms where the settings of a scenario say so.
    window: what becomes black and white where a file has more than 8 bits; None: the high byte, or what a DICOM file
    says itself. frame: of several frames or pages, counted from 1; None: the first, and none of a DICOM file.
    """

    resize: Resize | SpelledOut = "squash"
    window: Window | None = None
    frame: int | None = None

    def frame_index(self, frames: int) -> int:
        """The index of the frame that is read, of so many. Raises ValueError where there is none."""
        if self.frame is not None and self.frame > frames:
            raise ValueError(f"it has {number_of(frames, 'frame')}, and data.frame asks for number {self.frame}")
        return (self.frame or 1) - 1

    def framed(self, preprocessing: str) -> "PixelRules":
        """The rules for a scenario with this preprocessing."""
        return self if preprocessing == OF_STUDY else replace(self, resize=preprocessing)

    @property
    def changed(self) -> dict[str, Any]:
        """The rules that are not at their default: ids and cache keys hold these alone, so that older ones stay."""
        found = asdict(self)
        return {field.name: found[field.name] for field in fields(self) if found[field.name] != field.default}

    @property
    def in_keys(self) -> list[dict[str, Any]]:
        """What a cache key holds of the rules, after everything else: nothing by default."""
        return [self.changed] if self.changed else []

    def __str__(self) -> str:
        """The rules in words: empty where all are at their default."""
        shown = self.changed
        if isinstance(self.window, tuple):
            shown["window"] = "{:g} to {:g}".format(*self.window)
        return ", ".join(f"{name} {value}" for name, value in shown.items())


DEFAULT_RULES = PixelRules()
