"""What the nodes of a Ray cluster need of the disk of the driver: the backbones of its folders and files."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from harness.execution.inline import InlineExecutor
from harness.store import Store
from harness.study.plan import Job
from tests.conftest import context_of, small_study_beside
from tests.execution.conftest import Case, Told, run, same_results
from tests.foreign_models import save_timm
from tests.ray_cluster import RayCluster

pytestmark = pytest.mark.ray
SOURCE = """\
from torch import nn


class Net(nn.Conv2d):
    def __init__(self, image_size):
        super().__init__(3, 4, 3, stride=4)
"""


@pytest.mark.long
def test_backbones_of_a_folder_and_of_a_file_go_to_the_nodes(
    ray_cluster: RayCluster, tmp_path: Path, store: Store
) -> None:
    """Both are gone from the disk of the driver when the jobs are fitted."""
    saved = save_timm(tmp_path / "saved")
    stages = "stages=[{name: all, grid: {trainable: [head, all], backbone: [{name: 'nets:Net', weights: none},"
    levels = f" {{name: 'local-dir:{saved}', weights: pretrained}}]}}}}]"
    study = small_study_beside(tmp_path / "nets.py", SOURCE, stages + levels, "test=null")
    context, jobs = context_of(study, store)
    case = Case(context, jobs, run(InlineExecutor(), jobs, context))
    shutil.rmtree(context.features)

    class Removing(list[Job]):
        def append(self, job: Job) -> None:
            shutil.rmtree(saved, ignore_errors=True)
            (tmp_path / "nets.py").unlink(missing_ok=True)
            super().append(job)

    with closing(ray_cluster.executor()) as executor:
        same_results(run(executor, jobs, context, Told(Removing())), case, jobs)
    names = {file.name for file in ray_cluster.files("backbones/*/*") if file.suffix != ".lock"}
    assert names == {"nets.py", "config.json", "model.safetensors"}
