"""The newest value and its age: by numbers, on simulated time."""

from __future__ import annotations

import pytest

from handrail.core import SECOND_NS, SimulatedClock
from handrail.core.errors import InvalidValueError
from handrail.core.stream import Stream


def test_a_stream_holds_the_newest_value_until_it_is_too_old() -> None:
    clock = SimulatedClock()
    stream: Stream[float] = Stream(clock, max_age_s=0.1)
    assert stream.get() is None
    assert stream.age_s() == float("inf")
    stream.put(1.0)
    stream.put(2.0)
    clock.sleep_until_ns(SECOND_NS // 10)
    assert stream.get() == 2.0
    clock.sleep_until_ns(SECOND_NS // 10 + 1)
    assert stream.get() is None
    assert stream.age_s() == pytest.approx(0.1)
    stream.put(3.0)
    assert stream.get() == 3.0
    stream.clear()
    assert stream.get() is None


def test_a_stream_needs_an_age_at_which_it_falls_silent() -> None:
    with pytest.raises(InvalidValueError, match="max_age_s is 0, must be > 0: give a few periods of the stream"):
        Stream(SimulatedClock(), 0)
