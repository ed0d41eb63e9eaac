"""The pictures of the images that the audit names."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from harness.data.audit import Audit
from harness.data.finding import AuditFinding
from harness.data.pixels import open_pixels, pixel_cache
from harness.prepare import prepare
from harness.report.draft import Draft
from harness.report.numbers.records import Statistics
from harness.report.sections.odd_images import odd_lines
from harness.study.state import StudyState
from tests.conftest import Finished


def draft_of(finished: Finished, folder: Path, findings: list[AuditFinding]) -> Draft:
    workspace = prepare(finished.study, finished.store)
    audited = replace(workspace, stored_audit=Audit(workspace.inputs.dataset.digest, findings))
    stored = (finished.run.report.parent / "statistics.json").read_text()
    return Draft(audited, finished.run.state, Statistics.model_validate_json(stored), folder)


def test_odd_images_are_shown_as_the_network_saw_them(finished: Finished, tmp_path: Path) -> None:
    dataset = prepare(finished.study, finished.store).inputs.dataset
    images = dataset.table["image"].tolist()
    found = [
        AuditFinding("borders", "note", "", {"first": [images[7]]}),
        AuditFinding("inverted", "warning", "", {"first": images[1:7]}),
        AuditFinding("frames", "note", "", {"first": images[:1]}),
    ]
    text = "\n".join(odd_lines(draft_of(finished, tmp_path, found)))
    table = pd.read_csv(tmp_path / "odd-images.csv")
    assert table["finding"].tolist() == ["inverted"] * 4 + ["borders"]
    assert table["image"].tolist() == [*images[1:5], images[7]]
    assert text.count("](thumbnails/odd-0") == 5 and images[7].rpartition("/")[2] in text
    pixels = open_pixels(pixel_cache(dataset, finished.study.data.image_size, finished.store))
    shown = Image.open(tmp_path / "thumbnails" / "odd-05.jpg").resize((32, 32))
    assert np.abs(np.asarray(shown).astype(float) - pixels[7][0]).mean() < 8


def test_nothing_is_shown_where_nothing_is_odd_or_nothing_was_fitted(finished: Finished, tmp_path: Path) -> None:
    assert odd_lines(draft_of(finished, tmp_path, [])) == []
    image = prepare(finished.study, finished.store).inputs.dataset.table["image"][0]
    draft = draft_of(finished, tmp_path, [AuditFinding("blank", "warning", "", {"first": [image]})])
    assert odd_lines(replace(draft, state=StudyState((), ()))) == []
    assert not list(tmp_path.iterdir())
