"""Stores whose path holds what is a sign of its own in an address."""

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from harness.store import Store
from harness.store.store import sqlite_uri
from harness.tracking.ui import ui_command
from tests.conftest import runs_of
from tests.field.conftest import Harness, four, write_study

ODD = [
    "really?",
    "really?second",
    "p%41q",
    "n#2",
    "a b",
    "ü",
    "quo'te",
    '"{0}"',
    "[1]",
    "x@y:z;&=",
    "b\\s",
    "new\nline",
]


@pytest.mark.parametrize("name", ODD)
def test_an_address_of_sqlite_leads_to_the_very_file(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name / "store")
    store.root.mkdir(parents=True)
    engine = create_engine(store.database_uri)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE here (n INT)"))
    engine.dispose()
    assert store.database.is_file()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_study_is_run_read_and_looked_at_at_an_odd_path(harness: Harness) -> None:
    four(8)
    write_study()
    place = "50%41? #2 {0}/ü's"
    for command in (["run", "s.yaml"], ["report", "s.yaml"], ["predict", "s.yaml", "d/test/ILL/img000.png"]):
        ended = harness(*command, "--store", place)
        assert ended.code == 0, ended
    store = Store(Path(place))
    assert {path.name for path in Path().iterdir()} == {"d", "s.yaml", "50%41? #2 {0}"}
    assert [path.name for path in store.root.parent.iterdir()] == ["ü's"]
    (study_run,) = runs_of(store, "study")
    assert (store.artifacts / "s" / study_run.info.run_id / "artifacts" / "study.yaml").is_file()
    doctor = harness("doctor", "--store", place)
    assert doctor.code == 0, doctor
    assert "schema up to date" in doctor.out


def test_optuna_and_the_ui_find_an_odd_path(tmp_path: Path) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    from harness.search.storage import exclusive, open_storage

    store = Store(tmp_path / "50%41? #2 {0}")
    store.root.mkdir()
    url = sqlite_uri(store.root / "optuna.db")
    with exclusive(url):
        open_storage(url).remove_session()
    assert {path.name for path in store.root.iterdir()} == {"optuna.db", "optuna.db.lock"}
    assert len(list(tmp_path.iterdir())) == 1
    command, _ = ui_command(store, 5000)
    assert store.database_uri in command
    destination = command[command.index("--artifacts-destination") + 1]
    assert get_artifact_repository(destination).artifact_dir == str(store.artifacts)  # type: ignore[attr-defined]


def test_a_store_whose_name_is_not_utf8_is_refused(harness: Harness) -> None:
    four(4)
    write_study()
    line = harness.refused("run", "s.yaml", "--store", os.fsdecode(b"store\xff"))
    assert line == "error: --store store\\udcff: the name is not UTF-8; name another folder"
    assert {path.name for path in Path().iterdir()} == {"d", "s.yaml"}
