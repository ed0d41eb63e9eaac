import os
import platform
import subprocess
import sys

import pytest

from harness.training.allocator import SWITCH_VARIABLE

# In a separate process: the page faults of other threads, and of a heap with holes, would be counted along.
SCRIPT = """
import resource
import torch
from harness.training.allocator import held_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
with held_memory():
    faults()
    within = faults()
print(within, faults())
"""


def faults(switch: str) -> list[int]:
    """How often the system had to give a new page while a tensor of 48 MiB was made and freed ten times."""
    environment = {**os.environ, SWITCH_VARIABLE: switch}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these options")
def test_what_is_freed_is_used_again_within_and_only_there() -> None:
    within, after = faults("1")
    assert within < after / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone has these options")
def test_the_switch_leaves_the_allocator_as_it_is() -> None:
    within, after = faults("0")
    assert within > after / 2
