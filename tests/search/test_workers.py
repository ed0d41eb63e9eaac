import pytest

from harness.search import workers


class Sent:
    """Stands for the pipe of a worker."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def send(self, message: object) -> None:
        self.messages.append(message)


@pytest.mark.parametrize("computes", [True, False])
def test_a_worker_whose_device_computes_no_more_ends_after_its_trial(
    monkeypatch: pytest.MonkeyPatch, computes: bool
) -> None:
    monkeypatch.setattr(workers, "computes", lambda device: computes or device != "cuda:1")
    pipe, code = Sent(), 0
    try:
        workers.PipeEvents(pipe, "cuda:1").trial_ended(7)  # type: ignore[arg-type]
    except SystemExit as end:
        code = int(str(end))
    assert (pipe.messages, code) == ([("trial_ended", (7,))], 0 if computes else 3)
