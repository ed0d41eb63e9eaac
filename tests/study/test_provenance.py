import shutil
from pathlib import Path

import pytest

from harness.errors import redact
from harness.study import provenance as environment_module
from harness.study.provenance import code_digest, environment, versions


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("search s.yaml --storage postgresql://ann:word@host:5432/name", "postgresql://ann:***@host:5432/name"),
        ("postgresql+psycopg://ann:a@b:c/d@host/name --trials 3", "postgresql+psycopg://ann:***@host/name --trials 3"),
        ("postgresql://host/name?user=ann&password=word&sslmode=on", "host/name?user=ann&password=***&sslmode=on"),
        ("cannot read http:/ann:word@host/x", "http:/ann:***@host/x"),
        ("postgresql://ann@host/name", "postgresql://ann@host/name"),
        ("models:/name@champion", "models:/name@champion"),
        ("run s.yaml --set data.path=http://host:80/a", "run s.yaml --set data.path=http://host:80/a"),
    ],
)
def test_a_url_is_shown_without_its_password(text: str, shown: str) -> None:
    assert redact(text).endswith(shown)
    assert "word@" not in redact(text)


def test_the_command_line_is_kept_without_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/harness", "search", "s.yaml", "--storage", "postgresql://ann:word@host/name"])
    assert "command harness search s.yaml --storage postgresql://ann:***@host/name\n" in environment()


def test_any_byte_of_the_code_that_decides_numbers_changes_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = [code_digest()]
    for number, part in enumerate(["report/write.py", "training/fit.py", "models/heads.py", "data/folds.py"]):
        copy = shutil.copytree(environment_module.PACKAGE, tmp_path / str(number))
        with (copy / part).open("a") as file:
            file.write("\n")
        monkeypatch.setattr(environment_module, "PACKAGE", copy)
        hashes.append(code_digest())
    assert hashes[1] == hashes[0]  # a report decides no number
    assert len(set(hashes)) == 4


def test_the_versions_are_those_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm
    import torch

    found = dict(part.split(" ") for part in versions().split(", "))
    assert list(found) == ["torch", "timm", "Pillow", "numpy", "scikit-learn", "imbalanced-learn"]
    assert found["torch"] == torch.__version__.partition("+")[0], "a build for GPUs is no other version"
    monkeypatch.setattr(timm, "__version__", "9.9")  # as if the package was exchanged under a running process
    assert "timm 9.9" in versions()
