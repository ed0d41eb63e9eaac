"""The files at the top of a published folder: the page, the model card, and the tables of images and folds."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from harness.data.inputs import Workspace
from harness.report.draft import Draft
from harness.report.page import page_html
from harness.report.published.model_card import model_card
from harness.report.sections.other_unit import page_of
from harness.report.tables.export import escaped
from harness.store.ledger import set_file
from harness.store.seals import SEAL
from harness.study.unit import Unit

CRATE = "ro-crate-metadata.json"
CITATION = "CITATION.cff"
FRONT = ("model-card.md", "model-card.html", "manifest.csv", "folds.csv", "README.md", "index.html")
GROUP = "In this folder"
HOW = f"""\
# {{name}}: a published study

Open `index.html`: it needs no network and nothing to be installed. The images are not in this folder.

- `sha256sum -c {SEAL}` shows whether a file has changed.
- `harness verify .` (pip install harness) computes every number again from the predictions, and says what holds; with
  `--data DIR` it compares the images, too.
- `harness report {{name}} --store .` writes the report again.

"""


def write_front(draft: Draft, out: Path) -> None:
    """Write everything at the top of the folder that follows from the study. draft.folder: of its report in `out`."""
    card = model_card(draft)
    (out / "model-card.md").write_text(card, encoding="utf-8")
    (out / "model-card.html").write_text(page_html(card, out, {}), encoding="utf-8")
    manifest(draft.workspace).to_csv(out / "manifest.csv", index=False)
    folds(draft.workspace).to_csv(out / "folds.csv", index=False)
    text = (draft.folder / "report.md").read_text(encoding="utf-8")
    mark = [] if draft.state.finished else ["**UNFINISHED.** Fits of this study are missing.", ""]
    files = ["", "## Files of this folder", "", *_file_lines(described(draft, out)), ""]
    title, _, rest = text.partition("\n")
    page = "\n".join([title, "", *mark, _from(draft, out, rest).lstrip("\n"), *files])
    (out / "index.html").write_text(page_html(page, draft.folder, {GROUP: _links(draft, out)}), encoding="utf-8")
    (out / "README.md").write_text(HOW.format(name=draft.study.study), encoding="utf-8")


def _from(draft: Draft, out: Path, text: str) -> str:
    """The text of the report with its link to the page of the other unit as it leads there from `out`."""
    other = draft.workspace.other_unit
    if not isinstance(other, Unit):
        return text
    place = quote(draft.folder.relative_to(out).as_posix())
    return text.replace(f"]({page_of(other)})", f"]({place}/{page_of(other)})")


def manifest(workspace: Workspace) -> pd.DataFrame:
    """The images with their classes, splits and hashes, and their patients where a rule finds them."""
    table = workspace.inputs.dataset.table
    return table if workspace.inputs.separation.known else table.drop(columns="patient")


def folds(workspace: Workspace) -> pd.DataFrame:
    """A row for each training image and repeat: the fold that validates it; it trains in the others."""
    table = manifest(workspace)
    table = table[[name for name in ("image", "patient", "label") if name in table]]
    parts = [
        table.loc[fold.validation].assign(repeat=fold.repeat, fold=fold.fold).sort_index()
        for fold in workspace.inputs.folds
    ]
    return pd.concat(parts, ignore_index=True)


def described(draft: Draft, out: Path) -> dict[str, str]:
    """The files and folders of a published folder that a reader may want -> what they are."""
    known = {**_top(), **_study(draft, out), **_report(draft, out), **_fits(draft, out)}
    return {path: words for path, words in known.items() if path in TOP_LATER or (out / path).exists()}


TOP_LATER = (CRATE, CITATION, SEAL, "README.md")  # written after the page that lists them


def _top() -> dict[str, str]:
    return {
        "model-card.html": "model card", "model-card.md": "model card, Markdown",
        "manifest.csv": "every image: class, split, hash, patient if known",
        "folds.csv": "which fold validates each image",
        "README.md": "how to check this folder", CITATION: "how to cite this study",
        CRATE: "this folder described for programs (RO-Crate)", SEAL: "SHA-256 of every file",
    }  # fmt: skip


def _study(draft: Draft, out: Path) -> dict[str, str]:
    place = draft.workspace.folder.relative_to(out).as_posix()
    words = {
        "given.yaml": "study file", "study.yaml": "study file, every setting", "commands.jsonl": "commands that fitted",
        "environment.txt": "packages and machine", "manifest.parquet": "manifest, exact", "folds.json": "folds, exact",
        "audit.json": "audit of the images", "record.json": "digests",
    }  # fmt: skip
    return {f"{place}/{name}": text for name, text in words.items()}


def _report(draft: Draft, out: Path) -> dict[str, str]:
    place = draft.folder.relative_to(out).as_posix()
    words = {
        "report.md": "report, Markdown", "statistics.json": "every number of the report",
        "checklist.md": "CLAIM, STARD-AI and TRIPOD+AI checklists", "index.html": "report",
    }  # fmt: skip
    tables = {path.name: "table of the report" for path in sorted(draft.folder.glob("*.csv"))}
    other = draft.workspace.other_unit
    if isinstance(other, Unit):
        pages = {"index.html": "report", "statistics.json": "every number"}
        words |= {f"{other.plural}/{name}": f"{text}, by {other.name}" for name, text in pages.items()}
    return {f"{place}/{name}": text for name, text in (words | tables).items()}


def _fits(draft: Draft, out: Path) -> dict[str, str]:
    jobs = {job.id: job for fit in draft.state.fits for job in fit.jobs}
    files = {"predictions.parquet": ""} | {
        set_file(name): f", on the test set {escaped(name)}" for name in draft.dataset.further_sets
    }
    return {
        f"jobs/{job.id}/{file}": f"predictions of {escaped(job.scenario.name)}, {job.name}{words}"
        for job in jobs.values()
        for file, words in files.items()
        if (out / "jobs" / job.id / file).exists()
    }


def _file_lines(files: Mapping[str, str]) -> Iterator[str]:
    """The files as a table in Markdown, each with a link to it."""
    yield from ("| file | what it is |", "|---|---|")
    yield from (f"| [{escaped(path)}]({quote(path)}) | {words} |" for path, words in files.items())


def _links(draft: Draft, out: Path) -> dict[str, str]:
    """The links at the head of the page."""
    record, report = (folder.relative_to(out).as_posix() for folder in (draft.workspace.folder, draft.folder))
    found = {
        "model card": "model-card.html", "images": "manifest.csv", "folds": "folds.csv",
        "study file": f"{record}/given.yaml", "numbers": f"{report}/statistics.json",
        "checklist": f"{report}/checklist.md", "environment": f"{record}/environment.txt",
        "how to cite": CITATION, "hashes": SEAL,
    }  # fmt: skip
    return {words: quote(path) for words, path in found.items() if path in TOP_LATER or (out / path).exists()}
