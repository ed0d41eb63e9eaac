"""What the metadata tell of the label, and whether the images show the metadata."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from harness.data.confounders import confounder_findings
from harness.data.dataset import Dataset
from harness.data.finding import AuditFinding
from harness.study import Study

TEXT = "study: s\ndata: {source: phantom}\nbase: {backbone: resnet18}\nstages: [{name: only}]\n"


def findings(study: Study, columns: tuple[str, ...], patients: int = 200) -> dict[str, AuditFinding]:
    """Two images a patient: site Q is brighter and has most of the ill; so has the ward, which is not seen."""
    rng = np.random.default_rng(1)
    ill = rng.random(patients) < 0.5
    often = np.where(rng.random(patients) < 0.85, ill, ~ill)
    of_patient = pd.DataFrame({
        "label": np.where(ill, "ILL", "WELL"), "site": np.where(often, "Q", "P"),
        "ward": np.where(rng.random(patients) < 0.85, ill, ~ill).astype(float),
        "sex": pd.Series("F", index=range(patients)).where(rng.random(patients) < 0.5),
        "age": rng.integers(20, 90, patients).astype(float),
        "reader": [f"r{i}" for i in range(patients)], "one": "x",
    })  # fmt: skip
    table = of_patient.loc[np.repeat(np.arange(patients), 2)].reset_index(drop=True)
    table = table.assign(image=[f"{i}" for i in range(2 * patients)], patient=np.repeat(np.arange(patients), 2))
    table = table.assign(sha256=table["image"], split="train")
    table["view"] = np.where(np.arange(2 * patients) % 2, "AP", "PA")
    thumbnails = rng.normal(100, 10, (2 * patients, 4, 4)).astype(np.float32)
    thumbnails[table["site"] == "Q"] += 8
    dataset = Dataset(Path(), table, ("ILL", "WELL"), "ILL", False, metadata=columns)
    found = list(confounder_findings(study, dataset, thumbnails))
    return {str(f.facts.get("column", "many")): f for f in found}


def test_a_site_that_is_seen_and_tells_the_label_is_a_possible_shortcut(study_of: Callable[..., Study]) -> None:
    found = findings(study_of(TEXT), ("site", "ward", "sex"))
    site, ward, sex = (found[name] for name in ("site", "ward", "sex"))
    assert site.severity == "warning"
    assert site.text.startswith("site is read from thumbnails within ILL and WELL with AUC ") and site.text.endswith(
        "a shortcut is possible"
    )
    assert site.facts["read"] > 0.95 and site.facts["told"] > 0.75
    for floor in ("read_floor", "told_floor"):
        assert 0.3 < site.facts[floor] < 0.65
    assert ward.facts["told"] > 0.75 and ward.facts["read"] < 0.7
    assert ward.severity == sex.severity == "note" and "shortcut" not in ward.text + sex.text
    assert sex.facts["told"] < 0.65, "nor does it tell the label where some of it is missing"


def test_numbers_are_cut_at_the_median_or_as_the_subgroups_are_and_long_texts_are_named(
    study_of: Callable[..., Study],
) -> None:
    found = findings(study_of(TEXT), ("age", "reader", "one"))
    assert 0.3 < found["age"].facts["told"] < 0.65
    assert found["many"].text.endswith("as text with more than 20 values: reader (200)")
    assert "one" not in found
    cut = findings(study_of(TEXT + "subgroups: [{age: [30, 80]}]\n"), ("age",))
    assert cut["age"].facts["told"] != found["age"].facts["told"]


def test_a_column_that_differs_between_the_images_of_a_patient_is_looked_at(study_of: Callable[..., Study]) -> None:
    """The first image of each patient is from one view: its values alone would leave nothing to read."""
    (found,) = findings(study_of(TEXT), ("view",), patients=40).values()
    assert found.text.startswith("view is read from thumbnails within ILL and WELL with AUC ")
    assert 0.3 < found.facts["read_floor"] < 0.7
