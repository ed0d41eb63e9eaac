"""A step of training, and one of scoring: kernel by kernel, or on CUDA as one graph, with the same bits."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _NormBase

from harness.training.capture import Captured, NotCapturedError, Outputs, Snapshot
from harness.training.device import Arithmetic, free_memory
from harness.training.learner import Learner
from harness.training.losses import LossFunction
from harness.training.network import Network
from harness.training.optimizers import set_rate

CAPTURE_FROM_STEPS = 20  # of one kind in a fit; a capture takes as long as about six
Part = tuple[Tensor, Tensor, float]  # images, their labels or shares of the classes, their share of the batch


class Steps:
    """The steps of a fit. Whole batches of `batch` images are captured where a fit has enough of them.

    fallbacks: why they were not, where they should have been; a dict for its order.
    """

    def __init__(
        self,
        learner: Learner,
        arithmetic: Arithmetic,
        batch: int,
        loss: LossFunction = cross_entropy,
    ) -> None:
        self._learner, self._model, self._optimizer = learner, learner.model, learner.optimizer
        self._device, self.batch, self._loss = arithmetic.device, batch, loss
        self._wanted = arithmetic.capture and arithmetic.device.type == "cuda"
        self._graphs: dict[tuple[bool, bool], Captured | None] = {}  # (training, a backbone is held)
        self.fallbacks: dict[str, None] = {}

    @property
    def captured(self) -> bool:
        """Whether training steps are captured."""
        return any(graph is not None for (training, _), graph in self._graphs.items() if training)

    @contextmanager
    def training(self, forwards: int) -> Iterator[None]:
        """Put the model into training mode for so many forward passes.

        Its batch norms count them at the end, not one by one: a kernel for each of them and pass.
        """
        self._model.train()
        norms = [module for module in self._model.modules() if isinstance(module, _NormBase) and _counts(module)]
        counters = [cast(Tensor, norm.num_batches_tracked) for norm in norms]
        for norm in norms:
            norm.num_batches_tracked = None
        try:
            yield
        finally:
            for norm, counter in zip(norms, counters, strict=True):
                norm.num_batches_tracked = counter.add_(forwards)

    def hold(self, backbone: bool) -> None:
        """Hold the backbone of a network as it is in the steps to come, so that they train the head alone; or not."""
        if isinstance(self._model, Network):
            self._model.holds = backbone

    def merge(self) -> None:
        """Make the adapters of a network part of its weights; graphs of it with adapters score no more."""
        if isinstance(self._model, Network):
            self._model.merge()
        self._graphs = {kind: graph for kind, graph in self._graphs.items() if kind[0]}

    @property
    def _holds(self) -> bool:
        return isinstance(self._model, Network) and self._model.holds

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the steps to come."""
        set_rate(self._optimizer, rate)

    def train(self, parts: Iterable[Part], planned: int) -> tuple[list[Tensor], list[Tensor]]:
        """Make a step on the parts of a batch, and return the loss and the logits of each.

        planned: the number of such steps in the fit.
        """
        self._optimizer.zero_grad(set_to_none=True)
        losses, logits = [], []
        for images, labels, share in parts:
            graph = self._graph(self._train_whole, (images, labels), planned) if share == 1 else None
            if graph is not None:
                loss, found = graph(images, labels)
                return [loss], [found]
            loss, found = self._backward(images, labels, share)
            losses.append(loss)
            logits.append(found)
        self._learner.step()
        return losses, logits

    def score(self, images: Tensor, planned: int) -> Tensor:
        """The logits of images, the model in evaluation mode. planned: such batches in the fit."""
        graph = self._graph(self._logits, (images,), planned)
        return cast(Tensor, self._model(images)) if graph is None else graph(images)[0]

    def _train_whole(self, images: Tensor, labels: Tensor) -> Outputs:
        self._optimizer.zero_grad(set_to_none=True)
        found = self._backward(images, labels, 1)
        self._learner.step()
        return found

    def _backward(self, images: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
        logits = self._model(images)
        loss = self._loss(logits.float(), labels)
        (loss if share == 1 else loss * share).backward()  # type: ignore[no-untyped-call]
        return loss.detach(), logits.detach()

    def _logits(self, images: Tensor) -> Outputs:
        return (self._model(images),)

    def _graph(self, work: Callable[..., Outputs], inputs: tuple[Tensor, ...], planned: int) -> Captured | None:
        """The graph of this work, captured at its first use; None where it is to be done kernel by kernel."""
        kind = self._model.training, self._holds
        if not self._wanted or len(inputs[0]) != self.batch or planned < CAPTURE_FROM_STEPS:
            return None
        if kind not in self._graphs:
            self._graphs[kind] = self._captured(work, inputs)
        return self._graphs[kind]

    def _captured(self, work: Callable[..., Outputs], inputs: tuple[Tensor, ...]) -> Captured | None:
        try:
            return Captured(work, inputs, Snapshot(self._learner, self._device))
        except NotCapturedError as error:
            self.fallbacks[f"not captured: {error}"] = None
        self._optimizer.zero_grad(set_to_none=True)  # the attempt has left gradients, to which others would be added
        free_memory()  # what the attempt has left: the step itself needs it
        return None


def _counts(norm: _NormBase) -> bool:
    """Whether a batch norm counts batches, and the count decides nothing: else momentum is None."""
    return norm.training and norm.num_batches_tracked is not None and norm.momentum is not None
