"""A person at a gamepad."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType

import numpy as np

from handrail.core.contracts import Clock
from handrail.core.errors import DeviceError, InvalidValueError
from handrail.core.values import Array, Event, Intent, StepView
from handrail.operators.devices.engagement import Session, known_action_dim, positive
from handrail.operators.devices.pad import PadSource, PadState, PygamePad


@dataclass(frozen=True)
class PadLayout:
    """Which axis and button does what: an Xbox pad under SDL. Sticks read -1 when pushed away or left."""

    dx_axis: int = 1
    dy_axis: int = 0
    yaw_axis: int = 3
    dz_axis: int = 4
    stop: int = 1  # B
    failure: int = 2  # X
    success: int = 3  # Y
    rerecord: int = 6  # back
    close: int = 4  # left bumper
    open: int = 5  # right bumper
    dead_man: int | None = None  # motion counts only while it is held


HELP = "left stick dx dy, right stick dz yaw, bumpers close open, Y success, X failure, back re-record, B STOP"


class Gamepad:
    """Sticks and buttons to intents; a context manager that owns the pad.

    A person takes over when a stick leaves the dead-band and hands back after `release_s` of rest. STOP wins over
    everything. A pad that is unplugged, or silent for `timeout_s`, stops the robot.

    Args:
        action_dim: 4 (dx dy dz grip) or 5 (dx dy dz yaw grip).
        source: where readings come from; the first pad that pygame finds when not given.
        layout: which axis and button does what.
        dead_band: deflections below it are rest; what is beyond is scaled to the full range.
        timeout_s: readings older than this are stale.
        release_s: hands are off after this long at rest.
        drives: always at the controls, for demonstrations.
        clock: the machine's monotonic clock when not given.
    """

    def __init__(
        self,
        action_dim: int,
        source: PadSource | None = None,
        *,
        layout: PadLayout = PadLayout(),
        dead_band: float = 0.08,
        timeout_s: float = 0.25,
        release_s: float = 1.0,
        drives: bool = False,
        clock: Clock | None = None,
    ) -> None:
        if not 0.0 <= dead_band < 0.5:
            raise InvalidValueError(f"dead_band is {dead_band}, must be in [0, 0.5): 0.05 to 0.1 suits most pads")
        self._dim, self._layout, self._dead_band = known_action_dim(action_dim), layout, dead_band
        self._timeout_s = positive("timeout_s", timeout_s)
        self._source: PadSource = source or PygamePad(clock=clock)
        self._session = Session("gamepad", release_s, drives, clock)
        self._before: tuple[bool, ...] = ()

    def __enter__(self) -> Gamepad:
        self._source.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._source.__exit__(kind, error, trace)

    def reset(self, draw: int) -> None:
        """Begin an episode: buttons that are down already say nothing until pressed again, except STOP.

        Raises:
            DeviceError: the pad was lost, or has fewer axes or buttons than the layout names.
        """
        self._session.reset()
        state = self._source.read()
        if state is not None:
            self._require_layout(state)
        self._before = () if state is None else state.buttons

    def intent(self, view: StepView) -> Intent | None:
        state = self._source.read()
        if self._session.lost or state is None:
            return self._session.lose("was unplugged")
        silent_s = self._session.now_s() - state.stamp_s
        if silent_s > self._timeout_s:
            return self._session.lose(f"was silent for {silent_s:.2f} s, more than {self._timeout_s:g} s")
        event, self._before = self._event(state.buttons), state.buttons
        action = self._action(state)
        return self._session.intent(action, bool(np.any(action)), event)

    def _action(self, state: PadState) -> Array:
        layout = self._layout
        if layout.dead_man is not None and not state.buttons[layout.dead_man]:
            return np.zeros(self._dim, np.float32)
        axes = (layout.dx_axis, layout.dy_axis, layout.dz_axis, *((layout.yaw_axis,) if self._dim == 5 else ()))
        moved = [-beyond(state.axes[axis], self._dead_band) for axis in axes]
        grip = float(state.buttons[layout.open]) - float(state.buttons[layout.close])
        return np.array([*moved, grip], np.float32)

    def _event(self, buttons: tuple[bool, ...]) -> Event | None:
        """STOP while its button is down; the others when theirs goes down."""
        layout = self._layout
        if buttons[layout.stop]:
            return Event.STOP
        said = {layout.rerecord: Event.RERECORD, layout.failure: Event.FAILURE, layout.success: Event.SUCCESS}
        for button, event in said.items():
            if buttons[button] and not (button < len(self._before) and self._before[button]):
                return event
        return None

    def _require_layout(self, state: PadState) -> None:
        layout = self._layout
        axes = max(layout.dx_axis, layout.dy_axis, layout.yaw_axis, layout.dz_axis) + 1
        buttons = 1 + max(
            layout.stop,
            layout.failure,
            layout.success,
            layout.rerecord,
            layout.close,
            layout.open,
            layout.dead_man or 0,
        )
        if len(state.axes) < axes or len(state.buttons) < buttons:
            raise DeviceError(
                f"gamepad has {len(state.axes)} axes and {len(state.buttons)} buttons, "
                f"the layout needs {axes} and {buttons}: give a PadLayout that fits it"
            )


def beyond(deflection: float, dead_band: float) -> float:
    """How far a stick is beyond its dead-band, scaled to [-1, 1]."""
    past = max(0.0, abs(deflection) - dead_band) / (1.0 - dead_band)
    return float(np.clip(np.copysign(past, deflection), -1.0, 1.0)) if past > 0.0 else 0.0
