"""The report says what was done: settings, fits, commands, and the study file."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from harness.prepare import prepare
from harness.report.numbers.as_run import NOT_IN_OLDER_REPORTS, scenario_settings
from harness.report.page import write_page
from harness.report.sections.conduct import commands_table, fits_table, run_words
from harness.report.sections.study_file import study_file_lines
from harness.store.clock import duration
from harness.store.results import FoldRecord
from harness.study.history import CommandEntry
from harness.study.settings import Settings
from tests.conftest import SMALL_STUDY, Finished, fit_facts, runs_of
from tests.report.test_tables import STUDY, scenario_state


def csv(finished: Finished, name: str) -> pd.DataFrame:
    return pd.read_csv(finished.run.report.with_name(f"{name}.csv"), dtype=str, keep_default_na=False)


def test_every_setting_is_there_once_and_the_factors_stand_with_their_scenarios(finished: Finished) -> None:
    constant, scenarios = csv(finished, "settings").set_index("setting"), csv(finished, "scenarios")
    varied = {"head", "oversampling"}
    not_asked = {*NOT_IN_OLDER_REPORTS}
    assert {*Settings.model_fields} - varied - not_asked <= {*constant.index}
    assert not not_asked & {*constant.index}, "no fit asks for another one, and older reports have no such rows"
    assert not varied & {*constant.index}
    first = finished.run.state.scenarios[0].settings
    assert constant["value"].reindex(["backbone", "epochs", "image_size", "optimizer"]).tolist() == [
        first.backbone, "2", "32", "adam",
    ]  # fmt: skip
    assert constant["as run"][["precision", "data.patient"]].tolist() == [
        "fp32",
        "29 patients of the training images by the phantoms' own rule",
    ]
    assert not {"folds.by", "data.links", "data.columns.image", "data.resize"} & {*constant.index}, "as older reports"
    of_study = ["seed", "folds.k", "test.model", "data.phantom.train"]
    assert constant["value"][of_study].tolist() == ["0", "2", "refit", "48"]
    found = {(row["head"], row["oversampling"]): row for row in scenarios.to_dict("records")}
    assert {(s.settings.head, s.settings.oversampling) for s in finished.run.state.scenarios} == {*found}
    (both,) = [row["head"] for row in found.values() if row["stage"] == "heads, sampling"]
    assert finished.run.state.stages[0].best is not None
    assert both == finished.run.state.stages[0].best.settings.head
    copied = next(row for key, row in found.items() if key[1] == "random")
    assert copied["training images of a fit"] == "36"  # 6 + 18, and 12 copies
    assert set(scenarios["fits"]) == {"2/2"}


def test_weights_are_named_by_their_file_and_their_digest(finished: Finished) -> None:
    inputs = prepare(finished.study, finished.store).inputs
    state = finished.run.state.scenarios[0]
    weights = "/home/somebody/weights/lite0.safetensors"
    settings = state.settings.model_copy(update={"weights": weights})
    state = replace(state, scenario=replace(state.scenario, settings=settings))
    digests = replace(inputs.digests, weights={(settings.backbone, weights): "sha256:0123"})
    used = scenario_settings(finished.study, replace(inputs, digests=digests), state)["weights"]
    assert (used.value, used.as_run) == ("lite0.safetensors", "sha256:0123")


def test_what_a_fit_did_otherwise_is_said_of_its_setting(finished: Finished) -> None:
    inputs = prepare(finished.study, finished.store).inputs
    state = scenario_state("a", [0.5, 0.6, 0.7], 3, "val/accuracy")
    facts = [fit_facts(micro_batch=8), fit_facts(), fit_facts(precision="bf16")]
    history = [{"val/accuracy": 0.1}] * 15
    records = {
        job: replace(record, facts=fact, history=history)
        for (job, record), fact in zip(state.records.items(), facts, strict=True)
    }
    settings = state.settings
    digests = replace(inputs.digests, weights={(settings.backbone, settings.weights): "imagenet:test_resnet"})
    used = scenario_settings(STUDY, replace(inputs, digests=digests), replace(state, records=records))
    assert used["batch_size"].as_run == "8 images at a time in 1 of 3 fits"
    assert used["precision"].as_run == "fp32 (2 fits), bf16 (1 fit)"
    assert used["epochs"].as_run == ""
    short = {job: replace(record, history=history[:1]) for job, record in records.items()}
    used = scenario_settings(STUDY, replace(inputs, digests=digests), replace(state, records=short))
    assert used["epochs"].as_run == "1"


def record_of(name: str, **facts: object) -> FoldRecord:
    return FoldRecord(name, [], 1, {}, {}, fit_facts(**facts))


def test_fits_on_several_devices_are_shown_as_what_they_are() -> None:
    records = [record_of("a"), record_of("b", device="NVIDIA H100", precision="bf16", seconds=2.0), record_of("c")]
    table = fits_table(records)
    assert table[["fits", "device", "precision", "seconds"]].to_numpy().tolist() == [
        [2, "cpu", "fp32", 2.0], [1, "NVIDIA H100", "bf16", 2.0],
    ]  # fmt: skip
    assert "captured" not in table, "no column for what no fit did"
    assert run_words(records, ()) == "3 fits, 4.0 s of fitting on cpu, NVIDIA H100"


def command(**known: object) -> CommandEntry:
    values = {
        "time": 1_800_000_000.0, "device": "cpu", "command": "harness run s.yaml", "git_commit": "abc",
        "git_dirty": "false", "versions": "torch 2", "python": "3.11.7", "machine": "a CPU", "fits": 6, "failed": 0,
        "seconds": 60.0,
    }  # fmt: skip
    return CommandEntry(**values | known)  # type: ignore[arg-type]


def test_commands_are_listed_with_their_code_and_without_passwords() -> None:
    secret = "harness search s.yaml --storage postgresql://ann:word@host/name"
    killed = command(time=1_800_003_600.0, command=secret, git_dirty="true", fits=None, failed=None, seconds=None)
    table = commands_table([command(), killed])
    assert table["started"].tolist() == ["2027-01-15 08:00 UTC", "2027-01-15 09:00 UTC"]
    assert table["git"].tolist() == ["abc", "abc (modified)"]
    assert table["fits"].tolist() == ["6", "not recorded"]
    assert "ann:***@host" in table["command"][1]
    words = run_words([record_of("a")], [command(), killed])
    assert words.endswith(
        "from 2027-01-15 08:00 UTC to 2027-01-15 09:00 UTC, 1 min 0 s by the clock;"
        " 1 of 2 was killed before it could say how long"
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3.26, "3.3 s"), (45, "45 s"), (723, "12 min 3 s"), (12_000, "3 h 20 min"), (3599.7, "1 h 0 min")],
)
def test_a_duration_has_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_report_ends_with_the_study_file_and_the_page_folds_it(finished: Finished) -> None:
    text = finished.run.report.read_text()
    assert text.endswith(f"## Study file\n\nThe study file:\n\n```yaml\n{SMALL_STUDY}```\n")
    page = finished.run.report.with_name("index.html").read_text()
    folded = re.search(r"<details><summary>Show its \d+ lines</summary><pre>(.*?)</pre></details>", page, re.DOTALL)
    assert folded is not None
    assert folded[1] == SMALL_STUDY


def test_a_study_file_cannot_break_out_of_its_block(finished: Finished, tmp_path: Path) -> None:
    study = finished.study.model_copy()
    study._text = "description: |\n  ```\n  <script>alert(1)</script>\n  ![x](y.png)\n"
    study._changed = {"base.epochs": (15, 2)}
    lines = study_file_lines(study)
    assert lines[2] == "The study file, before the command line changed base.epochs:"
    (tmp_path / "report.md").write_text("\n".join(["# x", "", *lines]))
    page = write_page(tmp_path).read_text().partition("<main>")[2].partition("</main>")[0]
    assert "<script" not in page and "<img" not in page
    assert page.count("<details>") == 1
    assert "&lt;script&gt;alert(1)" in page


def test_mlflow_says_what_was_done(finished: Finished) -> None:
    (run,) = runs_of(finished.store, "study")
    assert (run.data.params["backbone"], run.data.params["epochs"]) == ("test_resnet", "2")
    assert run.data.params["image_size"] == "32"
    assert not {"head", "oversampling"} & {*run.data.params}, "the factors are those of the scenarios"
    tags, commands = run.data.tags, prepare(finished.study, finished.store).commands
    assert commands[0].fits == 7
    assert tags["harness.commands"] == commands[0].command
    assert tags["harness.devices"] == "cpu"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", tags["harness.first_command"])
    note = tags["mlflow.note.content"]
    assert "- Settings: backbone test_resnet; weights none;" in note
    assert "varied: head, oversampling." in note
    assert "48 training and 24 test images" in note
