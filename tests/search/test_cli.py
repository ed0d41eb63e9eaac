import re
import sys
from pathlib import Path

import pytest

from harness.cli import main
from tests.search.conftest import STUDY


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of `harness search`."""
    monkeypatch.setattr(sys, "argv", ["harness", "search", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("low: 0.1", "low: 0.9", "tiny.yaml:9: search.space.dropout: "),
        ("sampler: random", "sampler: best", "tiny.yaml:12: search.sampler: best is given; allowed: tpe, gp"),
        ("batchnorm-gap]", "batchnorm-gab]", "tiny.yaml:8: search.space.head.choices[1]: unknown head"),
        ("search:", "serach:", "tiny.yaml:6: serach: unknown key 'serach'; did you mean search?"),
    ],
)
def test_a_wrong_search_is_one_line_and_nothing_written(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    old: str,
    new: str,
    message: str,
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY.replace(old, new))
    assert run(monkeypatch, str(file), "--store", str(tmp_path / "store")) == 2
    said = capsys.readouterr()
    errors = [line for line in said.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and message in errors[0]
    assert "Traceback" not in said.err
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    "url",
    [
        "nonsense", "nosuch://user:secret@host/name", "postgresql://user:secret@127.0.0.1:1/name",
        "postgresql://user:sec/ret@127.0.0.1:1/name", "postgresql://user:sec@ret@127.0.0.1:1/name",
        "postgresql://127.0.0.1:1/name?password=secret",
    ],
)  # fmt: skip
def test_a_storage_that_cannot_be_opened_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, url: str
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    assert run(monkeypatch, str(file), "--store", str(tmp_path / "store"), "--storage", url, "--device", "cpu") == 2
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and errors[0].startswith("error: --storage")
    assert not any(word in said for word in ("Traceback", "sec", "ret@"))
    assert not (tmp_path / "store").exists()


def test_a_search_says_the_best_value_so_far_and_how_fast_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(STUDY)
    options = ["--store", str(tmp_path / "store"), "--device", "cpu", "--trials", "2"]
    assert run(monkeypatch, str(file), *options) == 0
    said = capsys.readouterr()
    lines = re.findall(
        r"\[(\d)/2\] \S+ (\d\.\d{4}); best (\d\.\d{4}), [\d.e+]+ trials a minute, about [^;]+ left; .+", said.err
    )
    assert [number for number, _, _ in lines] == ["1", "2"]
    assert [best for _, _, best in lines] == [lines[0][1], max(value for _, value, _ in lines)]
    assert said.out.splitlines()[-1].startswith("next: ")
