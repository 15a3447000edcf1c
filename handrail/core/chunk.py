"""The remaining actions of one source."""

from __future__ import annotations

from collections import deque

from .values import Array, Proposal


class ChunkQueue:
    """Holds what is left of a source's chunk; discarded the moment authority leaves that source."""

    def __init__(self) -> None:
        self._actions: deque[Array] = deque()

    def __len__(self) -> int:
        return len(self._actions)

    def refill(self, proposal: Proposal) -> None:
        """Replace whatever was queued by the rows of `proposal.actions` (H, A)."""
        self._actions = deque(proposal.actions)

    def next(self) -> Array | None:
        """Pop the next action (A,), or None when the chunk is used up."""
        return self._actions.popleft() if self._actions else None

    def discard(self) -> None:
        self._actions.clear()
