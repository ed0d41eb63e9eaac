"""README and the pages that it links to: their commands, links, and the names of commands and files in them."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT

README = ROOT / "README.md"
PAGES = (
    README,
    ROOT / "studies" / "README.md",
    *sorted((ROOT / "harness" / "docs").glob("*.md")),
)  # whose commands run
TEXTS = (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md")
COMMAND = (".venv/bin/", "make ", "ray ", "mlflow ", "PATH=", "CUDA_VISIBLE_DEVICES=")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page_name(page: Path) -> str:
    """`harness/docs/search.md`."""
    return page.relative_to(ROOT).as_posix()


def commands(page: Path) -> list[str]:
    """The commands of a page's shell blocks in their order, each once, without comments and optional parts."""
    found: list[str] = []
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if not language and block.startswith(COMMAND):
            text = re.sub(r"\\\n\s+|\n\s+(?=\[)", " ", block)
            lines = (
                re.sub(r"\s+#.*| \[[A-Z-][^\]]*\](\.\.\.)?| +(?= )", "", line).strip() for line in text.splitlines()
            )
            found += [line for line in lines if line]
    return list(dict.fromkeys(found))


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The relative links of a page: file and anchor, which is empty where the link has none."""
    for target in re.findall(
        r"\]\(([^()\s]*(?:\([^()]*\)[^()\s]*)*)\)", BLOCK.sub("", page.read_text(encoding="utf-8"))
    ):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (page.parent / path if path else page), anchor


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(pattern: str) -> set[str]:
    """What `pattern` matches in code spans and blocks of all texts but the changes, which name what is gone."""
    return {
        match
        for page in TEXTS
        if page.name != "CHANGELOG.md"
        for code in re.findall(r"^```.*?^```$|`[^`\n]+`", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        for match in re.findall(pattern, code)
    }
