"""Several fits on one GPU at a time, as --jobs-per-device runs them: processes of their own, without and with MPS."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from subprocess import SubprocessError
from typing import Any

import torch

from harness.processes import become_worker
from tests.bench.figure import Bench, Row
from tests.bench.gpu import mps
from tests.bench.gpu.loop import GRAPH, Scale, in_words, no_cuda, prepare_fit

BACKBONE, MOST = "resnet50", 3  # fits
UNDER = " under MPS"
SECONDS = 4.0  # of a measurement
START_SECONDS = 120.0  # that a process has for its imports and its first epoch


def measure(_bench: Bench) -> Iterator[Row] | list[Row]:
    """Images a second of 1, 2 and 3 fits together; then of 2 and 3 under MPS."""
    if not torch.cuda.is_available():
        return no_cuda("gpu-sharing")
    scale = Scale((BACKBONE,), images=1280)
    return rows_of(scale, "cuda", SECONDS)


def rows_of(scale: Scale, device: str, duration: float, most: int = MOST) -> Iterator[Row]:
    """All processes are started once; those that are not asked wait between two epochs."""
    work = f"{in_words(scale, torch.device(device))}; {scale.backbones[0]}, one graph a step, {duration:.0f} s or more"
    alone = 0.0
    with fits(scale, device, most) as pipes:
        for count in range(1, most + 1):
            rate = together(pipes[:count], duration)
            alone = alone or rate
            yield Row(_name(count), rate, f"{work}; {rate / alone:.2f} times those of one.")
    yield from _under_mps(scale, device, duration, alone, work)


def _under_mps(scale: Scale, device: str, duration: float, alone: float, work: str) -> Iterator[Row]:
    """The same under MPS; where that cannot be used, a row says why."""
    measured, reason = 0, mps.absent() if device == "cuda" else "no CUDA device"
    if reason is None:
        try:
            with mps.mps(), fits(scale, device, MOST) as pipes:
                for count in range(1, MOST + 1):
                    rate = together(pipes[:count], duration)
                    times = f"{rate / alone:.2f} times those of one without MPS"
                    yield Row(_name(count, UNDER), rate, f"{work}; {times}.")
                    measured = count
        except (RuntimeError, OSError, SubprocessError) as error:
            reason = f"MPS could not be used: {error}"
    if reason is not None:
        for count in range(measured + 1, MOST + 1):
            yield Row(_name(count, UNDER), None, reason)


def _name(count: int, under: str = "") -> str:
    return f"images/s: {BACKBONE}, {count} fit{'s' * (count > 1)} on the GPU{under}"


@contextmanager
def fits(scale: Scale, device: str, count: int) -> Iterator[list["Connection[Any, Any]"]]:
    """Start processes that train, and wait until each has ended its first epoch; end them at last."""
    context = get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_work, args=(scale, device, theirs), daemon=True) for _, theirs in pairs]
    try:
        for process, (_, theirs) in zip(processes, pairs, strict=True):
            process.start()
            theirs.close()
        pipes = [ours for ours, _ in pairs]
        for pipe in pipes:
            _receive(pipe, START_SECONDS)
        yield pipes
    finally:
        started = [process for process in processes if process.pid is not None]
        for process in started:
            process.terminate()
        for process in started:
            process.join(10)
            process.kill()
            process.join()


def together(pipes: Sequence["Connection[Any, Any]"], duration: float) -> float:
    """The images that these processes train on in a second, all at the same time."""
    for pipe in pipes:
        pipe.send(duration)
    return sum(_receive(pipe, duration + START_SECONDS) for pipe in pipes)


def _receive(pipe: "Connection[Any, Any]", patience: float) -> float:
    """The answer of a process. Raises RuntimeError where it failed, died, or does not answer."""
    if not pipe.poll(patience):
        raise RuntimeError(f"a process that shares the GPU did not answer within {patience:.0f} s")
    try:
        answer: float | str = pipe.recv()
    except EOFError:
        raise RuntimeError("a process that shares the GPU died") from None
    if isinstance(answer, str):
        raise RuntimeError(f"a process that shares the GPU failed: {answer}")
    return answer


class _Meter:
    """Waits for an order after the first epoch, and after each that ends an order; answers with images a second."""

    def __init__(self, images: int, pipe: "Connection[Any, Any]") -> None:
        self._images, self._pipe = images, pipe
        self._began, self._seen, self._duration = 0.0, 0, 0.0

    def __call__(self, _epoch: int, _metrics: object) -> None:
        """Called after each epoch."""
        took = time.perf_counter() - self._began
        if self._duration:
            self._seen += self._images
        if took < self._duration:
            return
        self._pipe.send(self._seen / took)
        self._duration, self._seen = self._pipe.recv(), 0
        self._began = time.perf_counter()


def _work(scale: Scale, device: str, pipe: "Connection[Any, Any]") -> None:
    """Train until the process is ended."""
    become_worker()
    try:
        run = prepare_fit(scale.backbones[0], GRAPH, scale, torch.device(device))
        run(_Meter(scale.images, pipe), 1_000_000)
    except EOFError:
        return
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")
