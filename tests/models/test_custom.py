"""A head of the user's own: trained, packaged and reproduced as the harness's own are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from harness.errors import HarnessError, StudyError
from harness.execution.compute import Compute
from harness.models.heads import initialise, make_head
from harness.prepare import prepare
from harness.reproduce import reproduce
from harness.runner import run_study
from harness.serving.classifier import Classifier
from harness.store import Ledger, Store
from harness.study import Study
from harness.study.identity import study_id
from harness.study.plan import fold_jobs, stage_scenarios
from harness.study.settings import Settings
from harness.tracking.registry import champion_folder
from tests.conftest import Recorder, runs_of, small_study_beside

OWN = "my_heads:MaxPool"
HEAD = """\
import torch
from torch import nn


class MaxPool(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(shape[0]))
        self.mix = nn.Conv2d(shape[0], shape[0], 1)
        self.linear = nn.Linear(shape[0], classes)

    def forward(self, features):
        return self.linear(self.scale * self.mix(features).amax(dim=(2, 3)))
"""


def study_with(folder: Path, heads: str, source: str = HEAD) -> Study:
    stages = f"stages=[{{name: heads, grid: {{head: [{heads}]}}, select: {{metric: val/loss}}}}]"
    overrides = (stages, "test={stages: [heads]}", "base.epochs=1")
    return small_study_beside(folder / "my_heads.py", source, *overrides)


def test_it_is_trained_by_worker_processes_packaged_and_reproduced(tmp_path: Path, store: Store) -> None:
    study = study_with(tmp_path, OWN)
    with Recorder() as reporter:
        run = run_study(study, store, "cpu", reporter, compute=Compute("process", workers=2))
    assert run.failed == 0
    (tmp_path / "my_heads.py").unlink()  # the store has all that is needed
    scored = Ledger(store).predictions(run.state.tests[0].jobs[0].id)
    root = next((store.data).iterdir())
    found = Classifier.load(champion_folder(store, "models:/small@champion"), "cpu").predict(
        [root / image for image in scored["image"]]
    )
    columns = ["prob_NORMAL", "prob_PNEUMONIA"]
    pd.testing.assert_frame_equal(found[columns], scored[columns], check_exact=True)
    fold = runs_of(store, "fold")[0].info.run_id
    assert reproduce(fold, store, "cpu", reporter).identical


def ids(study: Study, store: Store) -> tuple[str, list[list[str]]]:
    digests = prepare(study, store).inputs.digests
    scenarios = stage_scenarios(study, study.stages[0], None, digests)
    return study_id(study, digests), [[job.id for job in fold_jobs(study, s, digests)] for s in scenarios]


def test_its_source_decides_its_jobs_and_no_others(tmp_path: Path, store: Store) -> None:
    before = ids(study_with(tmp_path, f"{OWN}, dropout-gap"), store)
    assert ids(study_with(tmp_path, f"{OWN}, dropout-gap"), store) == before
    after = ids(study_with(tmp_path, f"{OWN}, dropout-gap", HEAD.replace("amax", "amin")), store)
    assert after[0] != before[0], "a report never mixes them"
    assert after[1][1] == before[1][1]
    assert not set(after[1][0]) & set(before[1][0])


def test_without_one_no_id_changes(small_study: Callable[..., Study], store: Store) -> None:
    study = small_study()
    digests = prepare(study, store).inputs.digests
    assert digests.heads == {}
    assert study_id(study, replace(digests, heads={"a:B": "sha256:0"})) != study_id(study, digests)


def test_all_that_it_draws_comes_from_the_seed() -> None:
    def drawn(seed: int) -> list[torch.Tensor]:
        torch.rand(7)  # what was drawn before must not matter
        head = make_head(Settings(backbone="test_resnet", head=OWN), (4, 2, 2), 2, HEAD, seed)
        initialise(head, seed)
        return list(head.state_dict().values())

    first, again, other = drawn(1), drawn(1), drawn(2)
    assert len(first) == 5
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("my_heads:MinPool", "has no class MinPool; it has: MaxPool"),
        ("no_such_module:Head", r"no no_such_module.py in .* or on PYTHONPATH"),
        ("my_heads:", r"'my_heads:' is given; a custom head is module:Class"),
        ("../my_heads:MaxPool", "a custom head is module:Class"),
    ],
)
def test_what_is_not_there_is_refused_at_its_line(tmp_path: Path, store: Store, head: str, words: str) -> None:
    with pytest.raises(StudyError, match=words) as refused:
        prepare(study_with(tmp_path, f"'{head}'"), store)
    assert "stages[0].grid.head[0]" in str(refused.value)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("class MaxPool(:", "my_heads.py is not valid Python: invalid syntax"),
        ("import no_such_thing\nclass MaxPool: ...", "my_heads.py cannot be imported: ModuleNotFoundError: No module"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_training(
    tmp_path: Path, store: Store, source: str, words: str
) -> None:
    with pytest.raises(HarnessError, match=words), Recorder() as reporter:
        run_study(study_with(tmp_path, f"{OWN}, dropout-gap", source), store, "cpu", reporter)
    assert not store.jobs.exists()


def test_a_class_that_is_no_module_says_so() -> None:
    with pytest.raises(HarnessError, match=r"my_heads:MaxPool is not a torch\.nn\.Module"):
        source = "class MaxPool:\n    def __init__(self, *_): ..."
        make_head(Settings(backbone="test_resnet", head=OWN), (4, 2, 2), 2, source)
