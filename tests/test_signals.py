import os
import signal
from collections.abc import Iterator

import pytest

from harness.errors import Stopped
from harness.processes import delay_signals, raise_on_signals


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    raise_on_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_once_or_at_the_end_of_what_must_be_whole(number: signal.Signals) -> None:
    done = []
    with pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), number)
        done.append("after the signal")
    assert stopped.value.exit_code == 128 + number
    with pytest.raises(Stopped), delay_signals():
        with delay_signals():
            os.kill(os.getpid(), number)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]


def test_an_error_of_what_must_be_whole_gives_way_to_the_signal() -> None:
    with pytest.raises(Stopped), delay_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        raise ValueError
    with delay_signals():
        pass  # the signal was obeyed once
