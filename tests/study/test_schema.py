import json
from pathlib import Path

import pytest

from harness.models.names import HEADS
from harness.study import load_study
from harness.study.allowed import BY_VECTORS, SYNTHESIS
from harness.study.schema import override_words, study_schema
from harness.study.settings import Settings

STUDIES = Path(__file__).parents[2] / "studies"


def test_the_schema_that_is_shipped_is_the_code_s_own() -> None:
    shipped = json.loads((STUDIES / "study.schema.json").read_text())
    assert shipped == study_schema(HEADS), "make it anew: harness schema > studies/study.schema.json"


def test_a_grid_varies_settings_and_heads_are_known_or_the_users_own() -> None:
    parts = study_schema(HEADS)["$defs"]
    assert parts["Stage"]["properties"]["grid"]["propertyNames"]["enum"] == list(Settings.model_fields)
    known, own = parts["Settings"]["properties"]["head"]["anyOf"]
    assert known["enum"] == list(HEADS)
    assert own["pattern"] == ":"


@pytest.mark.parametrize(
    "file", sorted(set(STUDIES.glob("*.yaml")) - set(STUDIES.glob("suite-*.yaml"))), ids=lambda file: file.stem
)
def test_every_shipped_study_names_the_schema_to_editors(file: Path) -> None:
    assert file.read_text().splitlines()[0] == "# yaml-language-server: $schema=study.schema.json"
    assert load_study(file).study == file.stem


def test_every_word_that_completes_set_is_taken_by_a_study() -> None:
    words = override_words(HEADS)
    assert {f"base.head={head}" for head in HEADS} < set(words)
    assert {f"base.{name}" for name in Settings.model_fields} <= {word.partition("=")[0] for word in words}
    given = [word for word in words if not word.endswith("=") and word.split(".")[0] in ("seed", "folds", "base")]
    assert len(given) > 25
    for word in given:
        frozen = ["base.trainable=head", "base.pool=avg"] if word.partition("=")[2] in (*SYNTHESIS, *BY_VECTORS) else []
        load_study(STUDIES / "quickstart.yaml", [*frozen, word])
