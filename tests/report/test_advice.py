"""How often and how long: the sentences say what the lines hold."""

from __future__ import annotations

from pathlib import Path

from handrail.report.advice import advice
from handrail.report.runs import Run


def line(index: int, operator: int, cause: str = "STUCK") -> dict[str, object]:
    """Episode `index` of 100 steps, with at most one takeover."""
    told = {cause: 1} if operator else {}
    return {
        "episode": index, "online_steps": 100 * (index + 1), "length": 100, "operator_steps": operator,
        "takeovers": told, "operator_steps_by_cause": {cause: operator} if operator else {},
    }  # fmt: skip


def said(lines: list[dict[str, object]]) -> str:
    found = advice(Run(Path(), {}, None, tuple(lines)))
    assert found is not None
    return " ".join(found.sentences)


def test_a_run_that_settles() -> None:
    text = said([line(i, 20) for i in range(10)] + [line(i, 0) for i in range(10, 60)])
    assert "took over 10 times in 6,000 steps, once for every 580 steps that went without them" in text
    assert "83 % of the 60 episodes needed nobody" in text
    assert "lasted 20.0 steps (2.0 s) on average and 20.0 (2.0 s) in the median." in text
    assert "In the first 1,000 steps the operator drove 20 % of the time, in 10 takeovers of 20.0 steps each" in text
    assert "in the last 1,000, not at all." in text
    assert "The largest share of their time, 100 %, went into stuck takeovers." in text
    assert "From step 2,500 on the intervention rate stayed below 5 %." in text, "200 of 2,000 steps until episode 24"


def test_a_run_that_does_not_settle() -> None:
    text = said([line(i, 30, "DANGER") for i in range(5)])
    assert "had not yet settled below 5 %" in text and "danger takeovers" in text


def test_one_takeover_in_the_last_stretch() -> None:
    text = said([line(i, 50) for i in range(12)] + [line(i, 7 if i == 25 else 0) for i in range(12, 30)])
    assert "in the last 1,000, 0.7 % of the time, in one takeover of 7 steps." in text


def test_nobody_ever_took_over() -> None:
    assert advice(Run(Path(), {}, None, (line(0, 0), line(1, 0)))) is None
