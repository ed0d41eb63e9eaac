import platform
import resource

import pytest
import torch

from harness.training.allocator import SWITCH, kept_memory


def faults() -> int:
    """How often the system had to give a new page while a tensor of 48 MiB was made and freed ten times."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these options")
def test_what_is_freed_is_used_again_within_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept_memory():
        faults()
        within = faults()
    after = faults()
    monkeypatch.setenv(SWITCH, "0")
    with kept_memory():
        switched_off = faults()
    assert within < after / 10
    assert within < switched_off / 10
