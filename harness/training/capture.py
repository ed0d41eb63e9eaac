"""Work on a CUDA device as one graph: its kernels are launched at once, and not one by one by Python."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from harness.errors import described
from harness.training.learner import Learner

T = TypeVar("T")
WARM_UP_STEPS = 3  # before a graph is captured, as torch asks for
Outputs = tuple[Tensor, ...]


def capture(work: Callable[[], T], device: torch.device, restore: Callable[[], None]) -> tuple[Callable[[], None], T]:
    """Capture `work` as a graph; return what replays it, and its results, which each replay fills again.

    restore: undoes what a call of `work` changed. Raises whatever the work or the capture raises.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_STEPS):
                work()
                restore()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.cuda.graph(graph):
            results = work()
    restore()
    return graph.replay, results


class Captured:
    """Work on tensors [batch, ...] as a graph, which was seen to give the bits of the work itself.

    Raises NotCapturedError with the reason where it cannot be captured or gives other bits: its Python code may draw
    random numbers or count steps, and a graph replays one step's for ever.
    """

    def __init__(self, work: Callable[..., Outputs], examples: Sequence[Tensor], state: "Snapshot") -> None:
        self._inputs = [torch.empty_like(example).copy_(example) for example in examples]
        try:
            right = [found.clone() for found in work(*self._inputs)] + state.copies()
            state.restore()
            self._replay, self._outputs = capture(lambda: work(*self._inputs), examples[0].device, state.restore)
            self._replay()
            found = [*self._outputs, *state.tensors]
            differ = torch.stack([(one != other).any() for one, other in zip(right, found, strict=True)]).any()
            same = not differ.item()  # NaN is another number too
        except Exception as error:
            raise NotCapturedError(described(_first(error))) from error
        finally:
            state.restore()
        if not same:
            raise NotCapturedError("a captured step gave other numbers than the step itself")

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Do the work on inputs of the same shapes, and return its results."""
        for buffer, value in zip(self._inputs, inputs, strict=True):
            buffer.copy_(value)
        self._replay()
        return tuple(output.clone() for output in self._outputs)


def _first(error: BaseException) -> BaseException:
    """The error that came first: the end of a capture that broke down raises another one over it."""
    while error.__context__ is not None:
        error = error.__context__
    return error


class NotCapturedError(Exception):
    """The reason why work is not done as a graph."""


class Snapshot:
    """All that a step may change: the model, its average, the optimizer's state, and torch's random numbers."""

    def __init__(self, learner: Learner, device: torch.device) -> None:
        self._optimizer, self._device, model = learner.optimizer, device, learner.model
        averages = learner.average.tensors if learner.average else []
        self.tensors = [tensor.detach() for tensor in (*model.parameters(), *model.buffers(), *averages)]
        self._before = self.copies()
        self._moments = {id(moment): moment.clone() for moment in self._found()}
        self._random = torch.cuda.get_rng_state(device)

    def copies(self) -> list[Tensor]:
        """Copies of the tensors of the model and its average."""
        return [tensor.clone() for tensor in self.tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back; a moment that the first step made begins at zero, as it did there."""
        for tensor, before in zip(self.tensors, self._before, strict=True):
            tensor.copy_(before)
        for moment in self._found():
            begun = self._moments.get(id(moment))
            moment.zero_() if begun is None else moment.copy_(begun)
        torch.cuda.set_rng_state(self._random, self._device)

    def _found(self) -> list[Tensor]:
        return [value for state in self._optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
