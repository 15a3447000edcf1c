"""Record what an operator does as JSON lines, and play it back step for step.

One line a happening: `{"trace": 1}` first, `{"draw": n}` at a reset, then one line a step: `{"t": s}` for hands off,
or with "action" (A numbers or null), "event" (a name or null) and "cause" (a name).
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from handrail.core.contracts import Operator
from handrail.core.errors import CorruptError, InvalidValueError, StoreError, WriteError, require_finite
from handrail.core.values import Event, Intent, StepView, TakeoverCause

VERSION = 1


class Recorder:
    """Passes an operator through and writes a trace of it; a context manager.

    Args:
        operator: whom to record.
        path: the JSON-lines file, which must not exist yet.
    """

    def __init__(self, operator: Operator, path: Path) -> None:
        self.operator, self.path = operator, path
        self._file: TextIO | None = None

    def __enter__(self) -> Recorder:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("x", encoding="utf-8")
        except OSError as error:
            raise WriteError(
                f"cannot write trace {self.path}: {error.strerror}; give a new file in a writable folder"
            ) from error
        self._write({"trace": VERSION})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def reset(self, draw: int) -> None:
        self.operator.reset(draw)
        self._write({"draw": draw})
        if self._file is not None:
            self._file.flush()

    def intent(self, view: StepView) -> Intent | None:
        intent = self.operator.intent(view)
        self._write(_line(view.time_s, intent))
        return intent

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise InvalidValueError(f"recorder of {self.path} is not open: use it in a with statement")
        self._file.write(json.dumps(line, allow_nan=False) + "\n")


class Player:
    """Plays a trace back: the k-th reset is its k-th episode, and the draw asked for must be the recorded one.

    After an episode's last recorded step it keeps its hands off. A last line cut off by a crash is left out.

    Raises:
        StoreError: the file cannot be read.
        CorruptError: a line is not one of a trace.
        NonFiniteError: a recorded action holds NaN or infinity.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._episodes = read_trace(path)
        self._next = 0
        self._steps: list[Intent | None] = []

    def __len__(self) -> int:
        """Number of recorded episodes."""
        return len(self._episodes)

    def reset(self, draw: int) -> None:
        if self._next >= len(self._episodes):
            raise InvalidValueError(
                f"trace {self.path} has {len(self)} episodes, asked for one more: record a longer trace"
            )
        recorded, steps = self._episodes[self._next]
        if recorded != draw:
            raise InvalidValueError(
                f"operator draw is {draw}, episode {self._next} of trace {self.path} was recorded with {recorded}: "
                "ask for that"
            )
        self._next += 1
        self._steps = list(reversed(steps))

    def intent(self, view: StepView) -> Intent | None:
        return self._steps.pop() if self._steps else None


def read_trace(path: Path) -> list[tuple[int, list[Intent | None]]]:
    """Return (draw, intents) of every episode of a trace; errors as for `Player`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"cannot read trace {path}: {error}; give a file that Recorder wrote") from error
    lines = text.split("\n")[:-1]  # what follows the last newline was never finished
    if not lines or _parse(path, 1, lines[0]).get("trace") != VERSION:
        raise CorruptError(
            f"{path} line 1 is not the head of a version {VERSION} trace: give a file that Recorder wrote"
        )
    episodes: list[tuple[int, list[Intent | None]]] = []
    for number, line in enumerate(lines[1:], start=2):
        entry = _parse(path, number, line)
        if "draw" in entry:
            episodes.append((_draw(path, number, entry["draw"]), []))
        elif not episodes:
            raise CorruptError(f"{path} line {number} is a step before any reset: give a file that Recorder wrote")
        else:
            episodes[-1][1].append(_intent(path, number, entry))
    return episodes


def _line(time_s: float, intent: Intent | None) -> dict[str, Any]:
    if intent is None:
        return {"t": time_s}
    action = None if intent.action is None else [float(a) for a in require_finite("operator action", intent.action)]
    event = None if intent.event is None else intent.event.name
    return {"t": time_s, "action": action, "event": event, "cause": intent.cause.name}


def _parse(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        raise CorruptError(
            f"{path} line {number} is not JSON ({error.msg}): give a file that Recorder wrote"
        ) from error
    if not isinstance(entry, dict):
        raise CorruptError(f"{path} line {number} is not a JSON object: give a file that Recorder wrote")
    return entry


def _draw(path: Path, number: int, value: Any) -> int:
    if not isinstance(value, int):
        raise CorruptError(
            f"{path} line {number} has draw {value!r}, must be an integer: give a file that Recorder wrote"
        )
    return value


def _intent(path: Path, number: int, entry: dict[str, Any]) -> Intent | None:
    if "cause" not in entry:
        return None
    try:
        action = None if entry["action"] is None else np.array(entry["action"], np.float32)
        event = None if entry["event"] is None else Event[entry["event"]]
        cause = TakeoverCause[entry["cause"]]
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            f"{path} line {number} is not a step ({error!r}): give a file that Recorder wrote"
        ) from error
    if action is not None:
        require_finite(f"action in {path} line {number}", action)
    return Intent(action, event, cause)
