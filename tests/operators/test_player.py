"""What was recorded is played back, to the bit; what is damaged says where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from handrail.core.errors import CorruptError, InvalidValueError, NonFiniteError, StoreError, WriteError
from handrail.core.values import Event, Intent, StepView, TakeoverCause
from handrail.operators.player import Player, Recorder, read_trace


def view(step: int) -> StepView:
    return StepView({}, None, step / 10)


class Scripted:
    """Says what the script says."""

    def __init__(self, script: list[Intent | None]) -> None:
        self._script = script

    def reset(self, draw: int) -> None:
        self._left = list(self._script)

    def intent(self, view: StepView) -> Intent | None:
        return self._left.pop(0)


RNG = np.random.default_rng(0)
SCRIPT = [
    None,
    Intent(RNG.uniform(-1, 1, 5).astype(np.float32), cause=TakeoverCause.STUCK),
    Intent(RNG.uniform(-1, 1, 5).astype(np.float32), Event.FAILURE),
    Intent(event=Event.STOP),
    None,
]


def record(path: Path, draws: tuple[int, ...] = (3, 4)) -> Path:
    with Recorder(Scripted(SCRIPT), path) as recorder:
        for draw in draws:
            recorder.reset(draw)
            for step in range(len(SCRIPT)):
                recorder.intent(view(step))
    return path


def test_a_trace_plays_back_to_the_bit(tmp_path: Path) -> None:
    player = Player(record(tmp_path / "trace.jsonl"))
    assert len(player) == 2
    for draw in (3, 4):
        player.reset(draw)
        for step, said in enumerate(SCRIPT):
            heard = player.intent(view(step))
            assert (heard is None) == (said is None)
            if heard is not None and said is not None:
                assert (heard.event, heard.cause) == (said.event, said.cause)
                np.testing.assert_array_equal(heard.action, said.action)
        assert player.intent(view(99)) is None


def test_another_draw_or_one_episode_more_is_refused(tmp_path: Path) -> None:
    player = Player(record(tmp_path / "trace.jsonl", (3,)))
    with pytest.raises(InvalidValueError, match=r"operator draw is 5, episode 0 of trace .* was recorded with 3"):
        player.reset(5)
    player.reset(3)
    with pytest.raises(InvalidValueError, match="has 1 episodes, asked for one more"):
        player.reset(3)


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = record(tmp_path / "trace.jsonl", (3,))
    whole = path.read_text()
    for cut in range(len(whole) - 30, len(whole)):
        path.write_text(whole[:cut])
        ((draw, steps),) = read_trace(path)
        assert draw == 3
        assert len(steps) == whole[:cut].count("\n") - 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{nonsense", "line 3 is not JSON"),
        ("[1]", "line 3 is not a JSON object"),
        ('{"draw": "x"}', "line 3 has draw 'x', must be an integer"),
        ('{"t": 0, "action": [1], "event": null, "cause": "BORED"}', "line 3 is not a step"),
        ('{"t": 0, "cause": "STUCK"}', "line 3 is not a step"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"trace": 1}\n{"draw": 0}\n' + line + "\n")
    with pytest.raises(CorruptError, match=says):
        Player(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    with pytest.raises(StoreError, match="cannot read trace"):
        Player(path)
    path.write_text('{"trace": 2}\n')
    with pytest.raises(CorruptError, match="line 1 is not the head of a version 1 trace"):
        Player(path)
    path.write_text('{"trace": 1}\n{"t": 0}\n')
    with pytest.raises(CorruptError, match="line 2 is a step before any reset"):
        Player(path)
    path.write_text('{"trace": 1}\n{"draw": 0}\n{"t": 0, "action": [NaN], "event": null, "cause": "STUCK"}\n')
    with pytest.raises(NonFiniteError, match="line 3 holds nan at index"):
        Player(path)


def test_recording_refuses_what_it_cannot_keep(tmp_path: Path) -> None:
    path = record(tmp_path / "trace.jsonl", (3,))
    with pytest.raises(WriteError, match=r"cannot write trace .*: File exists"), Recorder(Scripted([]), path):
        pass
    with pytest.raises(InvalidValueError, match="is not open: use it in a with statement"):
        Recorder(Scripted([]), tmp_path / "other.jsonl").reset(0)
    bad = Scripted([Intent(np.array([np.nan]))])
    with Recorder(bad, tmp_path / "nan.jsonl") as recorder:
        recorder.reset(0)
        with pytest.raises(NonFiniteError, match="operator action holds nan"):
            recorder.intent(view(0))
