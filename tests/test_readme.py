"""README and its pages: every command runs as it is written, every link leads somewhere, every name exists."""

import os
import re
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from filelock import FileLock

from harness.study.data_block import Data
from harness.study.fold_protocol import Folds
from harness.study.search_block import Search
from harness.study.settings import Settings
from harness.study.stage import Stage
from harness.study.study import AuditRules, FinalTest, Study
from tests.conftest import ROOT
from tests.postgres import create_database, programs
from tests.postgres import server as database_server
from tests.readme_pages import BLOCK, COMMAND, PAGES, README, TEXTS, anchors, commands, links, named, page_name
from tests.readme_reader import FROM_THE_HUB, SERVES, Reader, copy_clone, new_clone

STUDY_FILE, COMMANDS_PAGE, MODELS, SCALING = (
    ROOT / "harness" / "docs" / f"{name}.md" for name in ("study-file", "commands", "models", "scaling")
)
FIRST = ("make setup", ".venv/bin/harness new mine --data DIR", "make study STUDY=studies/mine.yaml")  # before any page
REPEATED = ("make study STUDY=studies/pneumonia-frozen.yaml",)  # what later commands of a page build on
README_LINES = 130
RAY_PORTS = {"6379", "10001"}


def _own_commands(page: Path) -> list[str]:
    """The commands of a page that no page before it has."""
    done = {_for_mine(command) for other in PAGES[: PAGES.index(page)] for command in commands(other)}
    return [c for c in commands(page) if c not in FIRST and (_for_mine(c) not in done or c.startswith(REPEATED))]


def _for_mine(command: str) -> str:
    """The command with the reader's own study; each `harness run STUDY` runs a new study."""
    return command if "harness run" in command else re.sub(r" STUDY(?!=)", " studies/mine.yaml", command)


PAGES_WITH_COMMANDS = [page for page in PAGES if page != README and _own_commands(page)]


def test_the_commands_are_found() -> None:
    every = [command for page in PAGES for command in commands(page)]
    assert len(set(every)) > 50
    assert len(PAGES_WITH_COMMANDS) >= 8
    assert [line for line in every if not line.startswith(COMMAND)] == []
    assert set(FIRST) <= set(commands(README))
    assert set(FROM_THE_HUB) <= set(every)
    assert [start for start in SERVES if not any(line.startswith(start) for line in every)] == []


def test_readme_is_two_screens() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_every_link_leads_somewhere() -> None:
    found = [(page_name(page), path, anchor) for page in TEXTS for path, anchor in links(page)]
    assert len(found) > 50
    assert [(page, str(path)) for page, path, _ in found if not path.exists()] == []
    assert [link for link in found if link[2] and link[2] not in anchors(link[1])] == []


def test_every_page_is_linked_from_readme() -> None:
    linked = {path.resolve() for path, _ in links(README)}
    assert [page_name(page) for page in PAGES[1:] if page.resolve() not in linked] == []


def test_every_command_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = named(r"\bharness (?!/)([a-z]+)\b(?!\.)")
    assert used >= {"run", "plan", "search", "report"}
    assert sorted(used - _existing_commands()) == []
    assert sorted(named(r"\bmake ([a-z-]+)") - targets) == []


def test_the_page_of_commands_names_every_command() -> None:
    text = COMMANDS_PAGE.read_text(encoding="utf-8")
    assert sorted(c for c in _existing_commands() if not re.search(rf"`{c}\b", text)) == []


def _existing_commands() -> set[str]:
    from typer.main import get_group

    from harness.cli import make_app

    return set(get_group(make_app()).commands)


def test_every_file_that_is_named_exists() -> None:
    files = named(r"\b(?:harness|tests|studies)/[\w./-]+\.(?:py|md|html|yaml)\b")
    own = ("backbones", "heads", "metrics", "parts", "samplers")  # a reader's
    mine = {"studies/mine.yaml", *(f"studies/my_{part}.py" for part in own)}
    assert mine < files
    assert sorted(file for file in files - mine if not (ROOT / file).exists()) == []


def test_the_page_of_the_study_file_names_every_field() -> None:
    text = STUDY_FILE.read_text(encoding="utf-8")
    fields = [
        name for block in (Study, Data, Folds, Settings, Stage, FinalTest, AuditRules) for name in block.model_fields
    ]
    assert [name for name in fields if f"`{name}`" not in text] == []
    search = (ROOT / "harness" / "docs" / "search.md").read_text(encoding="utf-8")
    assert [name for name in Search.model_fields if f"  {name}:" not in search] == []


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this run of the tests share."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "readme"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def taken(shared: Path) -> set[str]:
    """The ports that other programs serve on: found out once, before any test of this run serves on one."""
    with FileLock(shared / "ports.lock"):
        if not (shared / "ports").exists():
            found = [port for port in _ports([*SERVES, "ray start"]) if _is_taken(port)]
            (shared / "ports").write_text(" ".join(found))
    return set((shared / "ports").read_text().split())


def _ports(lines: Iterable[str]) -> set[str]:
    """The ports that commands serve on."""
    served = {port for start, url in SERVES.items() if _begins(lines, start) for port in re.findall(r":(\d+)", url)}
    return served | (RAY_PORTS if _begins(lines, "ray start") else set())


def _begins(lines: Iterable[str], start: str) -> bool:
    return any(line.startswith(start) for line in lines)


def _is_taken(port: str) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def _skip_where_taken(lines: Iterable[str], taken: set[str]) -> None:
    if ports := sorted(_ports(lines) & taken):
        pytest.skip(f"ports are taken: {', '.join(ports)}")


def _own_head() -> str:
    """The file of the custom head, as its page has it."""
    blocks = (block for language, block in BLOCK.findall(MODELS.read_text(encoding="utf-8")) if language == "python")
    (head,) = (block for block in blocks if block.startswith("# studies/my_heads.py"))
    return str(head)


@pytest.fixture(scope="session")
def finished(shared: Path) -> Path:
    """A clone in which the reader's own study is finished: made once for all pages and processes."""
    clone, result = shared / "finished", shared / "finished.txt"
    with FileLock(shared / "finished.lock"):
        if not result.exists():
            new_clone(clone, _own_head())
            reader = Reader(clone, shared)
            result.write_text("\n".join(wrong for command in FIRST if (wrong := reader.follow(command))))
    assert result.read_text() == ""
    return clone


@pytest.fixture
def reader(finished: Path, shared: Path, tmp_path: Path) -> Iterator[Reader]:
    """A reader with a copy of the finished clone."""
    copy_clone(finished, tmp_path / "clone")
    found = Reader(tmp_path / "clone", shared, forks=True)
    yield found
    found.leave()


def _follow(reader: Reader, lines: list[str]) -> None:
    """Run the commands in their order, each to its end; fail with what went wrong."""
    wrong = [said for command in lines if (said := reader.follow(command))]
    assert wrong == []


@pytest.mark.slow
@pytest.mark.network
def test_readme_does_what_it_says(shared: Path, taken: set[str], tmp_path: Path) -> None:
    _skip_where_taken(commands(README), taken)
    clone = tmp_path / "clone"
    new_clone(clone, _own_head())
    reader = Reader(clone, shared)
    try:
        for command in commands(README):
            assert reader.follow(command) is None
            if command == "make study":
                (shown,) = (
                    block for _, block in BLOCK.findall(README.read_text("utf-8")) if "mean over folds" in block
                )
                assert _scenarios(shown) == _scenarios(reader.output)
    finally:
        reader.leave()
    for study in ("quickstart", "mine"):
        assert (clone / "mlruns" / "reports" / study / "index.html").is_file()


def _scenarios(output: str) -> list[list[str]]:
    """The head of the leaderboard and the levels of its scenarios, in alphabetical order."""
    rows = re.findall(r"^[* ]  (head .*|(?:batchnorm|dropout)-gap +\S+ +\S+)", output, re.MULTILINE)
    return sorted(re.split(r"\s{2,}", row.strip()) for row in rows)


@pytest.mark.long
@pytest.mark.network
@pytest.mark.parametrize(
    "page", [page for page in PAGES_WITH_COMMANDS if page != SCALING], ids=lambda page: page_name(page)
)
def test_a_page_does_what_it_says(page: Path, taken: set[str], reader: Reader) -> None:
    _skip_where_taken(_own_commands(page), taken)
    _follow(reader, _own_commands(page))


@pytest.mark.long
@pytest.mark.network
@pytest.mark.ray
@pytest.mark.services
def test_the_page_of_clusters_and_servers_does_what_it_says(taken: set[str], reader: Reader) -> None:
    _skip_where_taken(_own_commands(SCALING), taken)
    folder = programs()
    if folder is None:
        pytest.skip("needs PostgreSQL")
    with database_server(folder) as url:
        for name in ("mlflow", "optuna"):
            create_database(url, name)
        reader.use_database(url)
        try:
            _follow(reader, _own_commands(SCALING))
        finally:
            reader.leave()
