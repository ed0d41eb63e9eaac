"""Streams and events: nothing runs at the same time here, but who has waited for whom is known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from types import TracebackType

from tests.gpu.simulation import log
from tests.gpu.simulation.memory import CLOCKS, Allocation

_numbers = itertools.count()


class RaceError(log.DeviceError):
    """A stream uses what another may still be writing."""


class Stream:
    """An order of operations. Its clock has, of each stream, the last operation that it has waited for."""

    def __init__(self, _device: object = None, _priority: int = 0, **_: object) -> None:
        self.number = next(_numbers)
        self.clock = CLOCKS[self.number] = Counter[int]()
        self._outer: list[Stream] = []

    def wait_stream(self, other: Stream) -> None:
        """Wait for all that the other has been given so far."""
        self.clock |= other.clock

    def record_event(self, event: Event | None = None) -> Event:
        """An event that is there when this stream has come so far."""
        event = event or Event()
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        """Wait for an event."""
        event.wait(self)

    def query(self) -> bool:
        """Whether all is done."""
        return True

    def synchronize(self) -> None:
        """Let the host wait."""
        wait("Stream.synchronize", self.clock)

    def __enter__(self) -> Stream:
        self._outer.append(STREAMS.current)
        STREAMS.current = self
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        STREAMS.current = self._outer.pop()


class Event:
    """A place in the order of a stream."""

    def __init__(self, *_: object, **__: object) -> None:
        self._clock = Counter[int]()

    def record(self, stream: Stream | None = None) -> None:
        """Mark the place that a stream has come to."""
        self._clock = (stream or STREAMS.current).clock.copy()

    def wait(self, stream: Stream | None = None) -> None:
        """Let a stream wait for it."""
        clock = (stream or STREAMS.current).clock
        clock |= self._clock

    def query(self) -> bool:
        """Whether it is done."""
        return True

    def synchronize(self) -> None:
        """Let the host wait."""
        wait("Event.synchronize", self._clock)

    def elapsed_time(self, _end: Event) -> float:
        """Milliseconds, which mean nothing here."""
        return 1.0


class Streams:
    """The streams of the device."""

    def __init__(self) -> None:
        self.default = self.current = Stream()


STREAMS = Streams()


def wait(kind: str, done: Counter[int] | None = None) -> None:
    """Let the host wait for the current stream, or for all that is `done`; whatever is launched later comes after."""
    log.wait(kind)
    done = STREAMS.current.clock if done is None else done
    for clock in CLOCKS.values():
        clock |= done


def wait_for_all(kind: str) -> None:
    """Let the host wait for the whole device."""
    done = Counter[int]()
    for clock in CLOCKS.values():
        done |= clock
    wait(kind, done)


def use(read: Iterable[Allocation], written: Iterable[Allocation]) -> None:
    """An operation on the current stream. Raises RaceError where it does not wait for what another stream wrote."""
    stream = STREAMS.current
    stream.clock[stream.number] += 1
    now = stream.clock[stream.number]
    written = list(written)
    for allocation in (*read, *written):
        if allocation.written is not None and stream.clock[allocation.written[0]] < allocation.written[1]:
            raise RaceError(
                f"a tensor is used at {log.place()} by a stream that did not wait for the one that wrote it"
            )
        if allocation.home not in (None, stream.number):
            allocation.used[stream.number] = now
    for allocation in written:
        allocation.written = stream.number, now
        if allocation.home is None:
            allocation.home = stream.number
