"""Copies of MLflow's database, for stores that may not be written."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.store import Store
from harness.tracking import snapshot
from harness.tracking.connection import open_client
from harness.tracking.moved import rewrite_locations
from harness.tracking.snapshot import copy_database, database_to_read
from tests.conftest import Finished


def numbers(database: Path) -> list[int]:
    with closing(sqlite3.connect(database)) as connection:
        return [row[0] for row in connection.execute("SELECT number FROM numbers ORDER BY number")]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database whose second row is in its write-ahead log alone, as on a disk that was taken out."""
    (tmp_path / "there").mkdir()
    path, other = tmp_path / "there" / "a #1? é.db", tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        connection.execute("INSERT INTO numbers VALUES (1)")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("INSERT INTO numbers VALUES (2)")
        connection.commit()
        for side in ("", "-wal"):
            shutil.copy(f"{other}{side}", f"{path}{side}")
    return path


def test_a_copy_has_what_is_in_the_log_however_it_is_made(source: Path, tmp_path: Path) -> None:
    snapshot._copy_files(source, tmp_path / "files.db")
    assert numbers(tmp_path / "files.db") == [1, 2]
    copy_database(source, tmp_path / "backup.db")
    assert numbers(tmp_path / "backup.db") == [1, 2]
    assert not Path(f"{tmp_path / 'backup.db'}-wal").exists()


def test_a_database_that_changes_while_its_files_are_copied_is_copied_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, copy = [], shutil.copyfile

    def copyfile(path: Path, target: str) -> None:
        copies.append(target)
        copy(path, target)
        if len(copies) == 1:
            with source.open("ab") as file:
                file.write(bytes(4096))

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    snapshot._copy_files(source, tmp_path / "copy.db")
    assert len(copies) == 4
    monkeypatch.setattr(snapshot, "_stamps", lambda _: object())
    with pytest.raises(HarnessError, match="changed while it was read, 5 times"):
        snapshot._copy_files(source, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_store_that_may_be_written_and_has_not_moved_is_read_itself(finished: Finished) -> None:
    assert database_to_read(finished.store) == finished.store.database


def test_the_images_of_a_moved_store_are_named_in_it(finished: Finished, tmp_path: Path) -> None:
    store = finished.copy_to(tmp_path / 'an "odd" é')
    (before,) = sources(store.database)
    assert before.startswith(f"{finished.store.root}/data/")
    copy = database_to_read(store.as_read_only())
    assert sources(copy) == [f"{store.data}/{Path(before).name}"]
    rewrite_locations(store)
    assert sources(store.database) == [f"{store.data}/{Path(before).name}"]


def sources(database: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        return [json.loads(row[0])["uri"] for row in connection.execute("SELECT dataset_source FROM datasets")]


def test_of_an_older_schema_a_copy_is_upgraded_and_the_store_s_own_is_refused(store: Store) -> None:
    head = schema(store.database)
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    from harness.store.store import sqlite_uri

    config = utils._get_alembic_config(sqlite_uri(store.database))  # type: ignore[no-untyped-call]
    from alembic import command

    engine = create_engine(sqlite_uri(store.database))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "-1")
    assert schema(store.database) != head
    with pytest.raises(HarnessError, match="mlflow db upgrade sqlite"):
        open_client(store)
    reading = store.as_read_only()
    assert open_client(reading).search_experiments()
    assert schema(database_to_read(reading)) == head
    assert schema(store.database) != head


def test_of_a_newer_schema_nothing_is_opened(store: Store) -> None:
    with closing(sqlite3.connect(store.database)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
    for one in (store, store.as_read_only()):
        with pytest.raises(HarnessError, match=r"schema ffffffffffff, MLflow here wants"):
            open_client(one)


def schema(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
