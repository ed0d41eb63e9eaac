"""The table of what the networks read: the size of the images, how they are resized and cropped, and normalised."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from harness.report.numbers.marks import Marks, marked
from harness.report.tables.export import export_table
from harness.study.pixel_rules import Resize
from harness.study.preprocessing import eval_transform
from harness.study.scenario_state import ScenarioState

_WORDS: dict[Resize, str] = {
    "squash": "the whole image, squashed",
    "crop": "the largest square in the middle",
    "letterbox": "the whole image between black bars",
}
CHANNELS = "3; a gray image gives all of them"
Row = tuple[str, int, str, str, str, str]
COLUMNS = ("backbone", "image size", "interpolation", "crop", "mean", "std")


def input_lines(marks: Marks, scenarios: Sequence[ScenarioState], folder: Path) -> list[str]:
    """Write `inputs.csv`, and return its table in Markdown; nothing where no fit recorded it, as earlier ones."""
    found = Counter(row for state in scenarios if (row := _row(marks, state)))
    if not found:
        return []
    rows = [dict(zip(COLUMNS, row, strict=True)) | {"channels": CHANNELS, "scenarios": n} for row, n in found.items()]
    table = export_table(marked(pd.DataFrame(rows), marks.every), folder, "inputs")
    return ["What the networks read, by the number of scenarios:", "", *table]


def _row(marks: Marks, state: ScenarioState) -> Row | None:
    """What the network of a scenario reads; None before its first fit."""
    facts = next((record.facts for record in state.records.values()), None)
    if facts is None or facts.mean is None or facts.std is None:
        return None
    settings = state.settings
    transform = eval_transform(settings.preprocessing)
    interpolation = transform.interpolation if transform else "bilinear"
    crop = transform.words if transform else _WORDS[marks.study.data.resize]
    return settings.backbone, settings.image_size, interpolation, crop, facts.mean, facts.std
