"""The driver of a Ray cluster is killed: what is done stays done, and the next start ends as the reference did."""

import pytest

from tests.conftest import CHAOS
from tests.faults import kills
from tests.faults.rig import Rig
from tests.ray_cluster import RayCluster

pytestmark = [pytest.mark.ray, pytest.mark.long]
PLACES = (
    "tracking.metrics:8", "tracking.created:1", "tracking.created:3", "tracking.metrics:1", "ledger.written:1",
    "ledger.saved:5", "tracking.artifact:2", "tracking.terminated:4", "tracking.complete:7", "report.written:1",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES if CHAOS else PLACES[:1])
def test_a_study_whose_driver_is_killed_ends_as_one_that_ran_in_one_process(
    rig: Rig, ray_cluster: RayCluster, place: str
) -> None:
    command = ("run", "study.yaml", "--device", "cpu", "--executor", "ray", "--address", ray_cluster.address)
    assert kills.kill_at(rig, place, command=command) == 1
