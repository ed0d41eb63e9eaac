"""The text of every file is UTF-8, whatever the terminal speaks."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"
TEXT = {"read_text", "write_text", "open", "fdopen", "NamedTemporaryFile", "TemporaryFile"}
PIPES = {"run", "Popen", "check_output"}
OPENS = {
    "Image.open",
    "os.open",
    "archive.open",
}  # the last of a zip file; whose name they share, and which know no encoding


def locale_bound(source: str) -> Iterator[int]:
    """The lines on which text is read or written in the encoding of the locale, as no `encoding` is named."""
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        name, given = ast.unparse(call.func), {word.arg: word.value for word in call.keywords}
        modes = [part.value for part in [*call.args, *given.values()] if isinstance(part, ast.Constant)]
        binary = any(isinstance(mode, str) and mode in ("rb", "wb", "ab", "xb", "r+b", "w+b") for mode in modes)
        last = name.rpartition(".")[2]
        files, piped = last in TEXT and name not in OPENS and not binary, last in PIPES and "text" in given
        if (files or piped) and "encoding" not in given:
            yield call.lineno


def test_the_search_finds_what_it_is_for() -> None:
    source = "path.read_text()\nopen(name)\npath.open('rb')\nrun(x, text=True)\nImage.open(x)\nrun(x, encoding='utf-8')"
    assert list(locale_bound(source)) == [1, 2, 4]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_every_file_names_its_encoding(file: Path) -> None:
    assert list(locale_bound(file.read_text(encoding="utf-8"))) == []
