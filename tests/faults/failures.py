"""Row 8 of the table of promises: a scenario whose fits fail, in four ways."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.faults.rig import FITS, RUN, Rig

BROKEN = {"head": "batchnorm-gap", "oversampling": "none"}
Fault = Callable[[], None]


def _install(spoil: Callable[[Tensor], Tensor]) -> None:
    """Has `spoil` change the loss of the second batch, and of those after it, in the fits of one scenario."""
    loop: Any = importlib.import_module("harness.training.fit")
    job: Any = importlib.import_module("harness.training.job")
    fit, steps = job.fit_once, loop.Steps
    batches = {"now": 0, "broken": False}

    def counting(*arguments: Any) -> Any:
        *others, loss = arguments

        def counted(logits: Tensor, labels: Tensor) -> Tensor:
            batches["now"] += 1
            value = loss(logits, labels)
            return spoil(value) if batches["broken"] and batches["now"] >= 2 else value

        return steps(*others, counted)

    def watched(model: Any, loader: Any, jobs: Any, *rest: Any) -> Any:
        batches.update(now=0, broken=all(getattr(jobs[0].settings, key) == value for key, value in BROKEN.items()))
        return fit(model, loader, jobs, *rest)

    job.fit_once, loop.Steps = watched, counting


def _raise(error: Exception) -> Any:
    raise error


def exception() -> None:
    _install(lambda _: _raise(RuntimeError("a kernel failed")))


def out_of_memory() -> None:
    _install(lambda _: _raise(MemoryError("no memory left")))


def not_a_number() -> None:
    _install(lambda loss: loss * torch.nan)


def infinite() -> None:
    _install(lambda loss: loss * torch.inf)


FAULTS: tuple[Fault, ...] = (exception, out_of_memory, not_a_number, infinite)


def fail(rig: Rig, fault: Fault) -> int:
    """A run in which two of eight fits fail; then one without the fault, that fits those alone."""
    folder = rig.place()
    ended = rig.run(folder, *RUN, before=fault)
    assert ended.code == 1, ended
    notes = [json.loads(path.read_text()) for path in (folder / "mlruns/states").iterdir()]
    assert len(notes) == 2
    assert all(note["status"] == "failed" and "in epoch 1, batch 2" in note["reason"] for note in notes), notes
    assert len(list((folder / "mlruns/jobs").iterdir())) == FITS - 2
    assert "0/2" in (folder / "mlruns/reports/faults/report.md").read_text()
    again = rig.run(folder, *RUN)
    assert again.code == 0, again
    assert "stage grid: 2 fits" in again.err
    rig.check(folder)
    return 1
