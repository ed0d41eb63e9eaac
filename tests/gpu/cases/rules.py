"""The simulated device itself: it must punish what CUDA punishes, and nothing else."""

from collections.abc import Callable, Iterator
from copy import deepcopy

import pytest
import torch
from torch import nn

from tests.gpu.simulation.log import HOST, LOG, CaptureError
from tests.gpu.simulation.memory import MEMORY
from tests.gpu.simulation.streams import RaceError

CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    LOG.clear()
    yield
    HOST.debug = 0


def waits() -> int:
    return sum(LOG.syncs.values())


def test_a_tensor_says_where_it_is() -> None:
    made = [
        torch.zeros(2, device="cuda"), torch.zeros(2).to("cuda:0"), torch.zeros(2).cuda(),
        torch.tensor([0.0, 0.0], device=CUDA), nn.Linear(2, 2).to(CUDA).weight, torch.zeros(2, device=CUDA).clone(),
        deepcopy(nn.Linear(2, 2).to(CUDA)).weight,
    ]  # fmt: skip
    assert {str(tensor.device) for tensor in made} == {"cuda:0"}
    assert all(tensor.is_cuda for tensor in made)
    assert made[0].cpu().device.type == "cpu"


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x.sum().item(),
        lambda x: x.cpu(),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: bool(x.any()),
        lambda x: x.tolist(),
        lambda x: torch.ones(3).to(x.device),
        lambda x: torch.ones(3).to(x.device, non_blocking=True),
        lambda x: x.copy_(torch.ones(3)),
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: x[torch.tensor([0])],
        lambda _: torch.cuda.synchronize(),
        lambda _: torch.cuda.current_stream().synchronize(),
    ],
)
def test_what_waits_is_counted_and_refused_in_a_capture(work: Callable[[torch.Tensor], object]) -> None:
    tensor = torch.ones(3, device=CUDA)
    work(tensor)
    assert waits() == 1
    with pytest.raises(RuntimeError, match="previous error during capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        work(tensor)
    torch.cuda.set_sync_debug_mode("error")
    with pytest.raises(RuntimeError, match="synchronizing"):
        work(tensor)


@pytest.mark.parametrize(
    "work",
    [
        lambda x: x + 1.0,
        lambda x: torch.where(x > 0, x, 0.0),
        lambda x: x.index_select(0, torch.arange(2, device=x.device)),
        lambda x: torch.ones(3).pin_memory().to(x.device, non_blocking=True),
        lambda x: x.copy_(torch.ones(6).pin_memory()[:3], non_blocking=True),
        lambda x: x * torch.tensor(2.0),
        lambda x: torch._foreach_copy_([x], [x.clone()]),
        lambda x: x.to(torch.bfloat16).sum(),
    ],
)
def test_what_need_not_wait_does_not(work: Callable[[torch.Tensor], object]) -> None:
    tensor = torch.ones(3, device=CUDA)
    work(tensor)
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        work(tensor)
    assert list(LOG.syncs) == ["elsewhere: torch.cuda.graph"]


def test_operands_and_generators_are_of_one_device() -> None:
    tensor = torch.ones(3, device=CUDA)
    with pytest.raises(RuntimeError, match="same device"):
        tensor + torch.ones(3)
    with pytest.raises(RuntimeError, match="generator"):
        tensor.bernoulli_(0.5, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="ordinal"):
        torch.zeros(1, device="cuda:1")
    with pytest.raises(TypeError, match="numpy"):
        tensor.numpy()


def test_a_capture_does_nothing_and_each_replay_does_it_once() -> None:
    total, step = torch.zeros(1, device=CUDA), torch.ones(1, device=CUDA)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        total += step
        double = total * 2
    assert total.item() == 0 and double.isnan().all()
    for count in (1, 2):
        graph.replay()
        assert (total.item(), double.item()) == (count, 2 * count)
    step.fill_(10)
    graph.replay()
    assert total.item() == 12


def test_a_replay_draws_new_numbers_and_the_capture_none() -> None:
    generator = torch.Generator(CUDA).manual_seed(7)
    torch.manual_seed(3)
    eager = [(torch.rand(2, device=CUDA), torch.rand(2, device=CUDA, generator=generator)) for _ in range(2)]
    torch.manual_seed(3)
    generator.manual_seed(7)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph):
        found = torch.rand(2, device=CUDA), torch.rand(2, device=CUDA, generator=generator)
    for wanted in eager:
        graph.replay()
        assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


def test_memory_that_a_graph_uses_must_stay() -> None:
    tensor = torch.ones(3, device=CUDA)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = tensor + 1
    graph.replay()
    assert found.sum().item() == 6
    del tensor
    with pytest.raises(RuntimeError, match="uses freed memory"):
        graph.replay()


def test_a_graph_within_a_graph_is_refused() -> None:
    with torch.cuda.graph(torch.cuda.CUDAGraph()):
        assert torch.cuda.is_current_stream_capturing()
        with pytest.raises(CaptureError), torch.cuda.graph(torch.cuda.CUDAGraph()):
            pass


def test_a_stream_must_wait_for_the_one_that_wrote() -> None:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        written = torch.ones(3, device=CUDA)
        there = side.record_event()
    with pytest.raises(RaceError):
        written + 1
    torch.cuda.current_stream().wait_event(there)
    assert (written + 1).sum().item() == 6


@pytest.mark.parametrize("recorded", [True, False])
def test_memory_of_another_stream_is_freed_safely_only_after_record_stream(recorded: bool) -> None:
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(side):
        written = torch.ones(3, device=CUDA)
    torch.cuda.current_stream().wait_stream(side)
    if recorded:
        written.record_stream(torch.cuda.current_stream())
    written += 1
    del written
    assert bool(LOG.races) is not recorded


def test_memory_is_counted_and_runs_out() -> None:
    before = torch.cuda.memory_allocated()
    tensor = torch.ones(256, device=CUDA)
    view = tensor[:10]
    assert torch.cuda.memory_allocated() - before == 1024
    del tensor
    assert torch.cuda.memory_allocated() - before == 1024
    del view
    assert torch.cuda.memory_allocated() == before
    torch.cuda.set_per_process_memory_fraction((before + 1000) / MEMORY.total)
    try:
        with pytest.raises(torch.OutOfMemoryError):
            torch.ones(256, device=CUDA)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_autocast_lowers_products_and_keeps_the_cast_of_a_weight_until_it_ends() -> None:
    layer, images = nn.Linear(3, 3).to(CUDA), torch.ones(2, 3, device=CUDA)
    for cached, casts in ((True, 2), (False, 4)):
        LOG.clear()
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=cached):
            found = [layer(images), layer(images)]
            assert found[0].softmax(1).dtype == torch.float32
            with torch.autocast("cuda", enabled=False):
                assert layer(images).dtype == torch.float32
        assert {each.dtype for each in found} == {torch.bfloat16}
        assert LOG.casts["parameter to bfloat16"] == casts


def test_deterministic_mode_alerts_and_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    values = torch.ones(4, device=CUDA)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        values.cumsum(0)
        torch.empty(3, device=CUDA)
    finally:
        torch.use_deterministic_algorithms(False)
    assert len(LOG.alerts) == len(LOG.fills) == 1
