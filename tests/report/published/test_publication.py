"""What is published is whole, can be checked anywhere, and tells nothing of the author's machine."""

import json
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from typer.testing import CliRunner

from harness.cli import make_app
from harness.data.record import records
from harness.errors import HarnessError
from harness.prepare import named_workspace
from harness.report.published.copies import Publication, remove_unused_pictures
from harness.report.published.publication import publish
from harness.report.verified.verify import Verification
from harness.report.write import write_report
from harness.store import Store
from harness.study.plan import Job
from tests.conftest import Finished


@pytest.fixture(scope="module")
def published(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small study published as an archive that was unpacked in another place."""
    folder = tmp_path_factory.mktemp("published")
    archive = folder / "sent" / "small.zip"
    found = publish(Publication(named_workspace("small", finished.store)), archive)
    assert (found.out, found.finished, found.private) == (archive, True, {})
    assert [path.name for path in archive.parent.iterdir()] == ["small.zip"]
    shutil.unpack_archive(archive, folder / "reviewer")
    return folder / "reviewer" / "small"


def not_holding(folder: Path) -> dict[str, str]:
    items = list(Verification(Store(folder)).items())
    assert len(items) > 70
    found = {item.what: f"{item.verdict}: {item.words}" for item in items if item.verdict != "holds"}
    found.pop("the ledger of this machine", None)
    return found


def images_unchecked(folder: Path) -> dict[str, str]:
    """What verify says of a published folder where everything holds."""
    (record,) = records(Store(folder))
    words = "cannot be checked: the hashes of 72 images: give their folder with --data"
    return {f"small, {record.study_id}": words}


def test_the_pictures_that_a_report_shows_stay_and_no_other(finished: Finished, tmp_path: Path) -> None:
    workspace = replace(named_workspace("small", finished.store), store=Store(tmp_path / "store"))
    images, pictures = workspace.inputs.dataset.table.head(3), workspace.store.pictures
    pictures.mkdir(parents=True)
    for content in images["sha256"]:
        (pictures / f"{content}-32.png").write_bytes(b"")
    report = tmp_path / "report"
    report.mkdir()
    for name, image in (("oof-hardest-1.csv", images["image"][0]), ("odd-images.csv", images["image"][2])):
        (report / name).write_text(f"image\n{image}\n")
    remove_unused_pictures(workspace, report)
    assert {path.name for path in pictures.iterdir()} == {f"{images['sha256'][row]}-32.png" for row in (0, 2)}


def test_everything_in_a_published_folder_holds_in_another_place(published: Path) -> None:
    assert not_holding(published) == images_unchecked(published)


def test_a_changed_file_at_the_top_is_found_by_its_hash_and_by_its_content(published: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published, tmp_path / "copy")
    changes = {"model-card.md": ("0.", "9."), "folds.csv": (",0\n", ",1\n"), "manifest.csv": ("NORMAL,", "PNEUMONIA,")}
    for name, (old, new) in changes.items():
        text = (copy / name).read_text()
        assert old in text
        (copy / name).write_text(text.replace(old, new, 1))
    items = list(Verification(Store(copy)).items())
    for part in ("whole folder", "reports"):
        assert {i.what for i in items if i.part == part and i.verdict == "differs"} == changes.keys()


def test_the_fits_are_those_of_the_store_byte_for_byte(published: Path, finished: Finished) -> None:
    for path in [path for path in finished.store.jobs.rglob("*") if path.is_file()]:
        assert (published / path.relative_to(finished.store.root)).read_bytes() == path.read_bytes()
    numbers = [
        json.loads((root / "reports/small/statistics.json").read_text()) for root in (published, finished.store.root)
    ]
    for found in numbers:
        for estimate in found["estimates"]:
            estimate["run_id"] = None
    assert numbers[0] == numbers[1]


def test_nothing_names_a_place_of_the_machine_and_no_image_is_in_it(published: Path, finished: Finished) -> None:
    places = [str(finished.store.root), str(finished.store.root.parent), str(finished.study.folder), str(Path.cwd())]
    for path in [path for path in published.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        found = [place for place in places if re.search(rb"%s\b" % re.escape(place.encode()), content)]
        assert found == [], path
    drawn = {path.read_bytes() for path in finished.store.data.rglob("*.png")}
    pictures = list((published / "pictures").iterdir())
    assert len(pictures) < 72 and not drawn & {path.read_bytes() for path in pictures}


class Links(HTMLParser):
    """Collects what a page refers to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]


@pytest.mark.parametrize("page", ["index.html", "model-card.html"])
def test_every_link_of_a_page_leads_to_a_file_of_the_folder(published: Path, page: str) -> None:
    links = [link for link in Links(published / page).found if not link.startswith(("#", "data:"))]
    assert [link for link in links if not (published / unquote(link)).is_file()] == []
    assert len(links) > 40 or page == "model-card.html"
    assert not re.search(r"url\((?!#|\"#)|@import", (published / page).read_text())


def test_the_crate_is_read_by_rocrate_and_says_what_ran(published: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from rocrate.rocrate import ROCrate

        crate = ROCrate(published)
    root = crate.root_dataset
    assert {entity.id for entity in root["conformsTo"]} >= {"https://w3id.org/ro/wfrun/workflow/0.5"}
    assert "ComputationalWorkflow" in crate.mainEntity["@type"]
    assert (published / crate.mainEntity.id).is_file()
    (action,) = (entity for entity in crate.get_entities() if entity.type == "CreateAction")
    assert action["instrument"].id == crate.mainEntity.id
    assert action["startTime"] <= action["endTime"]
    assert {entity.id for entity in action["object"]} | {entity.id for entity in action["result"]} >= {"jobs/"}
    (organised,) = (entity for entity in crate.get_entities() if entity.type == "OrganizeAction")
    assert (organised["instrument"].id, organised["instrument"]["name"]) == ("#harness", "harness")
    assert len(crate.data_entities) > 30
    assert [entity.id for entity in crate.data_entities if not (published / entity.id).exists()] == []


def test_the_card_has_intervals_uses_limits_and_what_only_the_author_knows(published: Path) -> None:
    card = (published / "model-card.md").read_text()
    for words in ("## Intended use", "## Out-of-scope use", "SYNTHETIC DATA", "author must state", "### Threshold"):
        assert words in card
    accuracy = next(line for line in card.splitlines() if "| accuracy | all |" in line)
    assert re.search(r"\d+/24 \| 0\.\d{3} \| 0\.\d{3} \| 0\.\d{3} \|", accuracy)
    cite = yaml.safe_load((published / "CITATION.cff").read_text())
    assert (cite["cff-version"], cite["title"], cite["authors"]) == ("1.2.0", "small", [{"name": "author must state"}])


def run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(make_app(), [str(argument) for argument in arguments])
    return done.exit_code, done.stdout


@pytest.mark.slow
def test_the_commands_work_on_a_published_folder(published: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published, tmp_path / "copy")
    code, shown = run("status", "small", "--store", copy)
    assert code == 0 and "7" in shown
    code, shown = run("report", "small", "--store", copy)
    assert code == 0, shown
    (copy / "folds.csv").write_text("")
    code, shown = run("verify", copy, "--json")
    found = json.loads(shown)
    assert (code, found["holds"]) == (1, False)
    assert {"folds.csv"} <= {item["what"] for item in found["items"] if item["verdict"] == "differs"}


@pytest.mark.slow
def test_without_pictures_there_is_none_and_everything_holds(finished: Finished, tmp_path: Path) -> None:
    out = tmp_path / "out"
    publish(Publication(named_workspace("small", finished.store), pictures=False, models=False), out)
    assert not list(out.rglob("*.jpg")) and not list(out.rglob("grad-cam*.png"))
    assert not (out / "pictures").exists() and not list(out.rglob("*.npz")) and not list(out.rglob("*.safetensors"))
    report = (out / "reports/small/report.md").read_text()
    assert "pictures were left out when this was published" in report
    assert not_holding(out) == images_unchecked(out)


@pytest.mark.long
@pytest.mark.figures
def test_the_figures_can_be_drawn_again_from_what_is_published(published: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(published, tmp_path / "copy")
    workspace = named_workspace("small", Store(copy))
    report = write_report(workspace, workspace.reader.read()).parent
    assert len(list(report.glob("grad-cam-*.png"))) == 2
    assert [path.name for path in report.rglob("*.txt")] == ["environment.txt"]


def missing(store: Store) -> Job:
    """Removes a finished fit."""
    workspace = named_workspace("small", store)
    job = workspace.reader.read().scenarios[-1].jobs[0]
    shutil.rmtree(store.jobs / job.id)
    return job


@pytest.mark.slow
def test_an_unfinished_study_is_published_with_a_mark(finished: Finished, tmp_path: Path) -> None:
    store = finished.copy_to(tmp_path / "store")
    missing(store)
    found = publish(Publication(named_workspace("small", store)), tmp_path / "out")
    assert not found.finished
    for name in ("index.html", "model-card.md"):
        assert "UNFINISHED" in (tmp_path / "out" / name).read_text()
    assert not_holding(tmp_path / "out") == images_unchecked(tmp_path / "out")


def not_empty(_store: Store, out: Path) -> Path:
    (out / "kept").mkdir(parents=True)
    return out


def a_file(_store: Store, out: Path) -> Path:
    out.write_text("kept")
    return out


def below_a_file(_store: Store, out: Path) -> Path:
    out.write_text("kept")
    return out / "x.zip"


def inside(store: Store, _out: Path) -> Path:
    return store.root / "out"


def nothing_done(store: Store, out: Path) -> Path:
    shutil.rmtree(store.jobs)
    return out


def damaged(store: Store, out: Path) -> Path:
    with next(store.jobs.glob("*/predictions.parquet")).open("ab") as file:
        file.write(b" ")
    return out


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (not_empty, "this folder is not empty; name a new one"),
        (a_file, "this file exists; name a new one"),
        (below_a_file, "is no folder that you may write to"),
        (inside, "this is inside the store"),
        (nothing_done, "no fit of study small is finished"),
        (damaged, "has changed since it was sealed"),
    ],
)
def test_what_cannot_be_published_is_refused_in_one_line_and_nothing_is_written(
    finished: Finished, tmp_path: Path, spoil: Callable[[Store, Path], Path], words: str
) -> None:
    store = finished.copy_to(tmp_path / "store")
    workspace = named_workspace("small", store)
    out = spoil(store, tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(HarnessError) as error:
        publish(Publication(workspace), out)
    assert words in str(error.value) and "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before
