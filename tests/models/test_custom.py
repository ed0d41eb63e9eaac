import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import StudyError
from harness.plan import fold_jobs, stage_scenarios
from harness.prepare import prepare
from harness.store import Store
from harness.study import Study, load_study
from tests.conftest import SMALL_STUDY, run_in

HEAD = """\
from torch import nn


class MaxPool(nn.Module):
    def __init__(self, shape, classes, _settings):
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)

    def forward(self, features):
        return self.linear(features.amax(dim=(2, 3)))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A study's folder with a head of its own, forgotten by Python afterwards."""
    (tmp_path / "my_heads.py").write_text(HEAD)
    yield tmp_path
    sys.modules.pop("my_heads", None)
    sys.path[:] = [path for path in sys.path if path != str(tmp_path)]


def study_with(folder: Path, head: str) -> Study:
    file = folder / "own.yaml"
    file.write_text(SMALL_STUDY)
    stages = f"stages=[{{name: heads, grid: {{head: [dropout-gap, '{head}']}}, select: {{metric: val/accuracy}}}}]"
    return load_study(file, [stages, "test=null", "base.epochs=1"])


def test_a_head_of_the_users_own_is_trained(folder: Path, store: Store) -> None:
    ended = run_in(study_with(folder, "my_heads:MaxPool"), store)
    assert ended.run.failed == 0
    own = ended.run.states[0].scenarios[1]
    assert own.finished
    assert own.scenario.settings.head == "my_heads:MaxPool"


def test_its_source_decides_the_jobs_and_no_others(folder: Path, store: Store) -> None:
    def ids() -> list[list[str]]:
        study = study_with(folder, "my_heads:MaxPool")
        digests = prepare(study, store).digests
        scenarios = stage_scenarios(study, study.stages[0], None, digests)
        return [[job.id for job in fold_jobs(study, scenario, digests)] for scenario in scenarios]

    before = ids()
    assert ids() == before
    (folder / "my_heads.py").write_text(HEAD.replace("amax", "amin"))
    after = ids()
    assert after[0] == before[0]
    assert not set(after[1]) & set(before[1])


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("my_heads:MinPool", r"has no class 'MinPool'; it has: MaxPool"),
        ("no_such_module:Head", r"no module 'no_such_module' in .* or on PYTHONPATH"),
    ],
)
def test_what_is_not_there_is_refused_at_its_line(folder: Path, store: Store, head: str, words: str) -> None:
    with pytest.raises(StudyError, match=words) as refused:
        prepare(study_with(folder, head), store)
    assert "stages.0.grid.head.1" in str(refused.value)
