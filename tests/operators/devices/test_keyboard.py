"""The keyboard on recorded traces, and on a real pseudo-terminal."""

from __future__ import annotations

import os
import pty
import termios
from collections.abc import Iterator

import numpy as np
import pytest

from handrail.core.clock import SECOND_NS, SimulatedClock
from handrail.core.errors import DeviceError, InvalidValueError
from handrail.core.values import Event, Intent, StepView, TakeoverCause
from handrail.operators.devices import Keyboard, KeyEvent, TerminalKeys
from handrail.operators.devices.keys import WindowKeys, decode

PERIOD_NS = SECOND_NS // 10
VIEW = StepView({}, None, 0.0)


class Trace:
    """Keys of a recording, one entry a step; None is a closed keyboard."""

    def __init__(self, steps: list[list[KeyEvent] | None], reports_release: bool = False) -> None:
        self.steps, self.reports_release, self.opened = steps, reports_release, False

    def __enter__(self) -> Trace:
        self.opened = True
        return self

    def __exit__(self, *_: object) -> None:
        self.opened = False

    def poll(self) -> list[KeyEvent] | None:
        return self.steps.pop(0) if self.steps else []


def press(*keys: str) -> list[KeyEvent]:
    return [KeyEvent(key) for key in keys]


def up(*keys: str) -> list[KeyEvent]:
    return [KeyEvent(key, down=False) for key in keys]


def play(
    steps: list[list[KeyEvent] | None], length: int | None = None, dim: int = 5, releases: bool = False, **options
):
    """Intents of each step at 10 Hz. The first poll belongs to the reset."""
    clock = SimulatedClock()
    keyboard = Keyboard(dim, Trace([[], *steps], releases), clock=clock, **options)
    with keyboard:
        keyboard.reset(0)
        intents: list[Intent | None] = []
        for _ in range(length or len(steps)):
            intents.append(keyboard.intent(VIEW))
            clock.sleep_until_ns(clock.now_ns() + PERIOD_NS)
    return intents


@pytest.mark.parametrize(
    ("key", "action"),
    [
        ("up", [1, 0, 0, 0, 0]),
        ("down", [-1, 0, 0, 0, 0]),
        ("left", [0, 1, 0, 0, 0]),
        ("right", [0, -1, 0, 0, 0]),
        ("u", [0, 0, 1, 0, 0]),
        ("j", [0, 0, -1, 0, 0]),
        ("q", [0, 0, 0, 1, 0]),
        ("e", [0, 0, 0, -1, 0]),
        ("o", [0, 0, 0, 0, 1]),
        ("c", [0, 0, 0, 0, -1]),
    ],
)
def test_every_motion_key(key: str, action: list[int]) -> None:
    (intent,) = play([press(key)])
    np.testing.assert_array_equal(intent.action, action)
    assert intent.action.dtype == np.float32
    assert (intent.event, intent.cause) == (None, TakeoverCause.MANUAL)


def test_no_keys_is_hands_off() -> None:
    assert play([[], [], []]) == [None, None, None]


def test_keys_add_up_and_speed_spares_the_gripper() -> None:
    (intent,) = play([press("up", "right", "c")], speed=0.5)
    np.testing.assert_array_equal(intent.action, [0.5, -0.5, 0, 0, -1])
    assert play([press("up", "down")]) == [None]


def test_without_yaw_its_keys_say_nothing() -> None:
    assert play([press("q")], dim=4) == [None]
    (intent,) = play([press("o")], dim=4)
    np.testing.assert_array_equal(intent.action, [0, 0, 0, 1])


def test_one_key_press_is_no_one_frame_correction() -> None:
    intents = play([press("up")], 15)
    held = [intent is not None for intent in intents]
    assert held == [True] * 12 + [False] * 3  # 0.25 s held, then a second of rest
    assert [bool(intent.action.any()) for intent in intents[:12]] == [True] * 3 + [False] * 9


def test_repeats_keep_a_key_held() -> None:
    intents = play([press("up") if step % 2 == 0 else [] for step in range(30)])
    assert all(intent is not None and intent.action[0] == 1.0 for intent in intents)


def test_a_source_that_says_release_is_believed() -> None:
    intents = play([press("up"), *[[]] * 8, up("up"), []], releases=True)
    assert [intent.action[0] for intent in intents] == [1.0] * 9 + [0.0, 0.0]


def test_a_tap_within_one_step_counts_for_one_step() -> None:
    intents = play([press("up") + up("up"), [], []], releases=True)
    assert [intent.action[0] for intent in intents] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("key", "event"),
    [("s", Event.SUCCESS), ("f", Event.FAILURE), ("r", Event.RERECORD), ("space", Event.STOP), ("escape", Event.STOP)],
)
def test_every_event_key_speaks_once(key: str, event: Event) -> None:
    intents = play([press(key), []])
    assert intents[0].event is event and intents[0].action is None
    assert intents[1] is None


@pytest.mark.parametrize("others", [("s",), ("f",), ("up",), ("r", "up", "o")])
@pytest.mark.parametrize("stop", ["space", "escape"])
def test_stop_wins_in_any_order(stop: str, others: tuple[str, ...]) -> None:
    for keys in ((stop, *others), (*others, stop)):
        (intent,) = play([press(*keys)])
        assert intent == Intent(event=Event.STOP)


def test_an_event_while_moving_carries_both() -> None:
    (intent,) = play([press("up", "s")])
    assert intent.event is Event.SUCCESS and intent.action[0] == 1.0


def test_a_driver_is_always_at_the_controls() -> None:
    intents = play([[], press("up")], drives=True)
    assert [intent.cause for intent in intents] == [TakeoverCause.DEMONSTRATION] * 2
    assert not intents[0].action.any() and intents[1].action[0] == 1.0


def test_stop_between_episodes_stops_the_next_but_other_keys_are_forgotten() -> None:
    for waiting, said in ((press("up", "escape"), Event.STOP), (press("up", "s"), None)):
        keyboard = Keyboard(5, Trace([waiting]), clock=SimulatedClock())
        keyboard.reset(0)
        intent = keyboard.intent(VIEW)
        assert (intent.event if intent else None) is said
        assert keyboard.intent(VIEW) is None


def test_a_lost_keyboard_stops_and_refuses_the_next_episode() -> None:
    keyboard = Keyboard(5, Trace([[], press("up"), None]), clock=SimulatedClock())
    keyboard.reset(0)
    keyboard.intent(VIEW)
    assert keyboard.intent(VIEW) == Intent(event=Event.STOP)
    assert keyboard.intent(VIEW) == Intent(event=Event.STOP)
    with pytest.raises(DeviceError, match="keyboard was closed: connect it again and open it anew"):
        keyboard.reset(1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speed": 0.0}, r"speed is 0.0, must be in \(0, 1\]"),
        ({"timeout_s": 0.0}, "timeout_s is 0.0, must be > 0"),
        ({"release_s": -1.0}, "release_s is -1.0, must be > 0"),
        ({"dim": 7}, "action_dim is 7, must be 4"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, float], says: str) -> None:
    with pytest.raises(InvalidValueError, match=says):
        play([[]], **options)


def test_decoding_what_terminals_send() -> None:
    assert decode("\x1b[A\x1b[B\x1bOC\x1b[D") == ["up", "down", "right", "left"]
    assert decode("S u") == ["s", "space", "u"]
    assert decode("\x1b") == ["escape"]
    assert decode("a\x1b[5~b\x1b[1;5Ac\x1b[3~") == ["a", "b", "up", "c"]
    assert decode("a\x1b") == ["a", "escape"]
    assert decode("\x1bx") == ["escape", "x"]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal: (what a person types into, what the program reads)."""
    person, program = pty.openpty()
    yield person, program
    for fd in (person, program):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def test_a_real_terminal(terminal: tuple[int, int]) -> None:
    person, program = terminal
    with TerminalKeys(program) as keys:
        assert keys.poll() == []
        os.write(person, b"u\x1b[A ")
        assert keys.poll() == press("u", "up", "space")
        assert keys.poll() == []


def test_the_terminal_is_put_back_in_every_case(terminal: tuple[int, int]) -> None:
    _, program = terminal
    before = termios.tcgetattr(program)
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error), TerminalKeys(program):
            assert termios.tcgetattr(program) != before
            raise error
        assert termios.tcgetattr(program) == before


def test_a_terminal_that_is_gone_is_none_and_closes_quietly(terminal: tuple[int, int]) -> None:
    person, program = terminal
    with TerminalKeys(program) as keys:
        os.close(person)
        assert keys.poll() is None


def test_no_terminal_is_said(tmp_path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(DeviceError, match="keyboard needs a terminal"):
        TerminalKeys(file.fileno()).__enter__()


@pytest.mark.skipif(bool(os.environ.get("DISPLAY")), reason="there is a window system")
def test_no_window_system_is_said() -> None:
    with pytest.raises(DeviceError, match="keyboard window source needs pynput and a display"):
        WindowKeys().__enter__()
