"""One set of colours for every picture: authorities, takeover causes, and runs that share a plot.

The hues are those of Okabe and Ito (2008), chosen to stay apart for colour-blind readers; the policy, who drives most
of the time, is pale so that everybody else stands out.
"""

from __future__ import annotations

from itertools import cycle, islice

from handrail.core.values import Authority, TakeoverCause

AUTHORITY_COLOURS: dict[Authority, str] = {
    Authority.POLICY: "#bcd3ea",
    Authority.ASSISTANT: "#009e73",
    Authority.OPERATOR: "#d55e00",
    Authority.STOP: "#1f2430",
}
AUTHORITY_LABELS: dict[Authority, str] = {
    Authority.POLICY: "policy",
    Authority.ASSISTANT: "assistant",
    Authority.OPERATOR: "operator",
    Authority.STOP: "stop",
}
CAUSE_LABELS: dict[TakeoverCause, str] = {
    cause: cause.name.lower().replace("_", " ") for cause in TakeoverCause if cause is not TakeoverCause.NONE
}
RUN_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#1f2430")

INK, MUTED, GRID, PAPER = "#1f2430", "#667085", "#e4e7ec", "#ffffff"
RISK, VALUE, LEVEL = "#d55e00", "#0072b2", "#009e73"
Rgb = tuple[int, int, int]


def rgb(colour: str) -> Rgb:
    """Turn "#rrggbb" into three numbers from 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def ink_on(colour: str) -> str:
    """Return the text colour, dark or white, that reads better on `colour` (relative luminance, Rec. 709)."""
    red, green, blue = rgb(colour)
    return INK if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 130 else PAPER


def run_colours(count: int) -> list[str]:
    """Return `count` colours for lines that share a plot; they repeat after seven."""
    return list(islice(cycle(RUN_COLOURS), count))
