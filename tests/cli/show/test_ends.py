import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from harness.cli.show.ends import show_ends
from harness.store import Store

URL = "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=d7d0f69dbae13fb9"
OSC = re.compile(r"\x1b]8;[^\x1b]*\x1b\\")


def printed(store: Store, **kwargs: object) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False, **kwargs)  # type: ignore[arg-type]
    show_ends(console, store, store.root / "reports" / ("a" * 90) / "index.html", URL, "small")
    return out.getvalue().splitlines()


def test_in_a_pipe_or_on_a_plain_terminal_no_link_is_shortened_or_broken(store: Store) -> None:
    for kwargs in ({}, {"force_terminal": True, "color_system": None}):
        report, leaderboard, following = printed(store, **kwargs)
        assert leaderboard == f"leaderboard: {URL}"
        assert report.endswith("a/index.html")
        assert f" ui --store {store.root}" in following


def test_a_terminal_shows_a_short_link_that_leads_to_the_whole(store: Store) -> None:
    lines = printed(store, force_terminal=True, color_system="standard")
    assert f";{URL}\x1b" in lines[1]
    assert OSC.sub("", lines[1]) == "leaderboard: http://127.0.0.1:5000/#/experiments/1"
    assert "\x1b]8;" in printed(store, force_terminal=True, color_system="standard", no_color=True)[1]


def test_of_a_store_with_a_server_the_next_command_checks_the_results(store: Store) -> None:
    there = Store(store.root, "http://tracking.example")
    assert re.search(r"verify small --store ", printed(there)[2])


@pytest.mark.parametrize(
    ("argv", "words"), [("x/harness/cli/__main__.py", "python -m harness.cli"), ("bin/harness", "bin/harness")]
)
def test_the_next_command_is_called_as_this_one_was(
    store: Store, argv: str, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "harness").touch()
    monkeypatch.setattr("sys.argv", [argv])
    assert printed(store)[2].startswith(f"next:        {words} ui")
