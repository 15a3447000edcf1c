"""The gamepad on recorded traces."""

from __future__ import annotations

import numpy as np
import pytest

from handrail.core.clock import SECOND_NS, SimulatedClock
from handrail.core.errors import DeviceError, InvalidValueError
from handrail.core.values import Event, Intent, StepView, TakeoverCause
from handrail.operators.devices import Gamepad, PadLayout, PadState, PygamePad
from handrail.operators.devices.gamepad import beyond

PERIOD_NS = SECOND_NS // 10
VIEW = StepView({}, None, 0.0)
LAYOUT = PadLayout()


def reading(
    axes: dict[int, float] | None = None, buttons: tuple[int, ...] = (), stamp_s: float | None = None
) -> PadState:
    """One reading of a six-axis, ten-button pad; its stamp is that of the step unless given."""
    sticks = tuple((axes or {}).get(i, 0.0) for i in range(6))
    return PadState(sticks, tuple(i in buttons for i in range(10)), -1.0 if stamp_s is None else stamp_s)


class Trace:
    """Readings of a recording, one a step; None is an unplugged pad."""

    def __init__(self, readings: list[PadState | None], clock: SimulatedClock) -> None:
        self.readings, self.clock = readings, clock

    def __enter__(self) -> Trace:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read(self) -> PadState | None:
        state = self.readings.pop(0) if self.readings else reading()
        if state is None or state.stamp_s >= 0.0:
            return state
        return PadState(state.axes, state.buttons, self.clock.now_ns() / SECOND_NS)


def play(
    readings: list[PadState | None], length: int | None = None, dim: int = 5, first: PadState | None = None, **options
):
    """Intents of each step at 10 Hz; `first` is what the reset sees."""
    clock = SimulatedClock()
    with Gamepad(dim, Trace([first or reading(), *readings], clock), clock=clock, **options) as pad:
        pad.reset(0)
        intents: list[Intent | None] = []
        for _ in range(length or len(readings)):
            intents.append(pad.intent(VIEW))
            clock.sleep_until_ns(clock.now_ns() + PERIOD_NS)
    return intents


@pytest.mark.parametrize(
    ("axis", "index"), [(LAYOUT.dx_axis, 0), (LAYOUT.dy_axis, 1), (LAYOUT.dz_axis, 2), (LAYOUT.yaw_axis, 3)]
)
def test_every_stick(axis: int, index: int) -> None:
    away, toward = play([reading({axis: -1.0}), reading({axis: 1.0})])
    expected = np.zeros(5, np.float32)
    expected[index] = 1.0
    np.testing.assert_array_equal(away.action, expected)
    np.testing.assert_array_equal(toward.action, -expected)


def test_the_bumpers_are_the_gripper() -> None:
    opened, closed, both = play(
        [reading(buttons=(b,)) for b in (LAYOUT.open, LAYOUT.close)] + [reading(buttons=(4, 5))], dim=4
    )
    assert [intent.action[3] for intent in (opened, closed, both)] == [1.0, -1.0, 0.0]


def test_the_dead_band_is_rest_and_the_rest_is_full_range() -> None:
    assert [beyond(x, 0.1) for x in (0.0, 0.1, -0.1, 1.0, -1.0)] == [0.0, 0.0, 0.0, 1.0, -1.0]
    assert beyond(0.55, 0.1) == pytest.approx(0.5)
    assert play([reading({1: 0.07, 0: -0.07})] * 5) == [None] * 5


def test_a_flick_is_no_one_frame_correction() -> None:
    held = [intent is not None for intent in play([reading({1: -1.0})], 13)]
    assert held == [True] * 10 + [False] * 3


def test_a_dead_man_button_gates_the_motion() -> None:
    layout = PadLayout(dead_man=7)
    assert play([reading({1: -1.0})], layout=layout) == [None]
    held, released = play([reading({1: -1.0}, (7,)), reading({1: -1.0})], layout=layout)
    assert held.action[0] == 1.0
    assert not released.action.any()


@pytest.mark.parametrize(
    ("button", "event"),
    [(LAYOUT.success, Event.SUCCESS), (LAYOUT.failure, Event.FAILURE), (LAYOUT.rerecord, Event.RERECORD)],
)
def test_buttons_speak_when_they_go_down(button: int, event: Event) -> None:
    down, still, up, again = play([reading(buttons=(button,))] * 2 + [reading(), reading(buttons=(button,))])
    assert (down, still, up, again) == (Intent(event=event), None, None, Intent(event=event))
    assert play([reading(buttons=(button,))], first=reading(buttons=(button,))) == [None]


@pytest.mark.parametrize("others", [(LAYOUT.success,), (LAYOUT.failure, LAYOUT.open), ()])
def test_stop_wins_and_speaks_while_down(others: tuple[int, ...]) -> None:
    pressed = reading({1: -1.0}, (LAYOUT.stop, *others))
    assert play([pressed, pressed], first=pressed) == [Intent(event=Event.STOP)] * 2


def test_a_driver_is_always_at_the_controls() -> None:
    (intent,) = play([reading()], drives=True)
    assert intent.cause is TakeoverCause.DEMONSTRATION and not intent.action.any()


@pytest.mark.parametrize(
    ("lost", "why"),
    [(None, "was unplugged"), (reading({1: -1.0}, stamp_s=0.0), r"was silent for 0.40 s, more than 0.25 s")],
)
def test_a_lost_pad_stops_and_refuses_the_next_episode(lost: PadState | None, why: str) -> None:
    clock = SimulatedClock()
    pad = Gamepad(5, Trace([reading(), reading({1: -1.0}), lost], clock), clock=clock)
    pad.reset(0)
    assert pad.intent(VIEW).action[0] == 1.0
    clock.sleep_until_ns(4 * PERIOD_NS)
    assert pad.intent(VIEW) == Intent(event=Event.STOP)
    assert pad.intent(VIEW) == Intent(event=Event.STOP), "the pad came back: still stopped"
    with pytest.raises(DeviceError, match=f"gamepad {why}: connect it again"):
        pad.reset(1)


def test_a_pad_that_does_not_fit_the_layout_is_refused() -> None:
    clock = SimulatedClock()
    pad = Gamepad(5, Trace([PadState((0.0,), (False,), 0.0)], clock), clock=clock)
    with pytest.raises(DeviceError, match="gamepad has 1 axes and 1 buttons, the layout needs 5 and 7"):
        pad.reset(0)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dead_band": 0.6}, r"dead_band is 0.6, must be in \[0, 0.5\)"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0, must be > 0"),
        ({"dim": 3}, "action_dim is 3, must be 4"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        play([reading()], **options)


def test_no_pad_is_said_through_pygame() -> None:
    pytest.importorskip("pygame")
    with pytest.raises(DeviceError, match=r"gamepad 9 is not there, . found: connect one"):
        PygamePad(index=9).__enter__()
