"""Stores and folders that the user may not read or write: one line before anything is computed."""

import shutil
from pathlib import Path
from typing import get_type_hints

import pytest

from harness.cli import COMMANDS
from harness.errors import permission_problem
from tests.conftest import Finished
from tests.field.conftest import four, write_study
from tests.field.outsider import Outsider

WRITING = (
    ("run", "s.yaml"),
    ("search", "s.yaml"),
    ("rerun", "s.yaml", "--scenario", "dropout-gap", "--fold", "0"),
    ("cache", "--clear", "all"),
)
ADVICE = "get permission for it, or name another folder; these commands only read: "


def opened(store: Path) -> None:
    """Lets others read a store."""
    for path in (store, *store.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.parametrize(
    "command",
    [WRITING[0], *(pytest.param(command, marks=pytest.mark.long) for command in WRITING[1:])],
    ids=lambda command: command[0],
)
def test_a_store_that_may_not_be_written_is_refused_at_once(outsider: Outsider, command: tuple[str, ...]) -> None:
    four()
    write_study()
    store = Path("mlruns")
    (store / "jobs").mkdir(parents=True)
    (store / "mlflow.db").touch()
    closed = f"error: --store {store.absolute()}: you may read but not write "
    opened(store)
    assert outsider.refused(*command).startswith(f"{closed}it; {ADVICE}")
    store.chmod(0o777)  # as of two users of one store
    assert outsider.refused(*command).startswith(f"{closed}{store.absolute()}/jobs; {ADVICE}")
    store.chmod(0o700)
    line = outsider.refused(*command)
    assert line == f"{closed.replace('read but not', 'not read and')}it; {ADVICE.partition(';')[0]}"
    assert [path.name for path in sorted(store.iterdir())] == ["jobs", "mlflow.db"]


@pytest.mark.long
@pytest.mark.long
def test_commands_that_read_do_so_in_a_store_that_may_not_be_written(outsider: Outsider, finished: Finished) -> None:
    finished.copy_to(Path("mlruns"))
    assert finished.study.folder is not None
    shutil.copy(next(finished.study.folder.glob("*.yaml")), "s.yaml")
    opened(Path("mlruns"))
    before = sorted(Path("mlruns").rglob("*"))
    reading = (("plan", "s.yaml"), ("status", "s.yaml"), ("audit", "s.yaml"))
    for command in (*reading, ("cache",)):
        ended = outsider(*command)
        assert (ended.code, ended.err) == (0, ""), command
    doctor = outsider("doctor")
    assert doctor.code == 0
    assert "you may read but not write it" in doctor.out
    Path("mlruns/cache/folds").chmod(0o700)
    Path("mlruns/cache/audit").chmod(0o700)
    for command in reading:  # a cache that may not be read is as one that is not there
        assert outsider(*command).code == 0, command
    assert sorted(Path("mlruns").rglob("*")) == before


@pytest.mark.long
def test_a_model_of_a_store_that_may_not_be_written_is_used(outsider: Outsider, finished: Finished) -> None:
    store = finished.copy_to(Path("mlruns"))
    opened(store.root)
    before = sorted(store.root.rglob("*"))
    ended = outsider("predict", "models:/small@champion", str(next(store.data.rglob("*.png"))))
    assert ended.code == 0, ended
    assert sorted(store.root.rglob("*")) == before


def test_a_study_file_and_a_folder_to_write_to_may_be_closed_too(outsider: Outsider) -> None:
    four()
    write_study()
    Path("s.yaml").chmod(0o600)
    assert outsider.refused("plan", "s.yaml") == "error: s.yaml: cannot be read: Permission denied"
    line = outsider.refused("new", "mine", "--data", "d", "--out", ".")
    assert line == f"error: {Path.cwd()}: Permission denied"


def test_no_option_asks_whether_it_may_read_before_the_one_who_reads() -> None:
    hints = [hint for command in COMMANDS for hint in get_type_hints(command, include_extras=True).values()]
    paths = [hint.__metadata__[0] for hint in hints if hasattr(hint, "__metadata__") and "pathlib.Path" in str(hint)]
    assert len(paths) > 20
    assert [option.help for option in paths if option.readable] == []


def test_a_missing_temporary_folder_is_said_in_words() -> None:
    error = FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")
    assert permission_problem(error) == "there is no folder for temporary files; name one by TMPDIR"
    assert permission_problem(FileNotFoundError(2, "No such file")) is None
