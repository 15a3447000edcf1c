"""The queue of a source's remaining actions."""

from __future__ import annotations

import numpy as np

from handrail.core import Authority, ChunkQueue, Proposal


def chunk(first: float) -> Proposal:
    return Proposal(np.arange(first, first + 6, dtype=np.float32).reshape(3, 2), Authority.POLICY)


def rest(queue: ChunkQueue) -> list[list[float]]:
    actions = [queue.next() for _ in range(len(queue))]
    assert queue.next() is None
    return [action.tolist() for action in actions if action is not None]


def test_actions_come_in_order_and_then_none() -> None:
    queue = ChunkQueue()
    assert queue.next() is None
    queue.refill(chunk(0.0))
    assert len(queue) == 3
    assert rest(queue) == [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    assert len(queue) == 0


def test_refill_replaces_what_was_left() -> None:
    queue = ChunkQueue()
    queue.refill(chunk(0.0))
    queue.next()
    queue.refill(chunk(10.0))
    assert rest(queue) == [[10.0, 11.0], [12.0, 13.0], [14.0, 15.0]]


def test_discard_forgets_everything() -> None:
    queue = ChunkQueue()
    queue.refill(chunk(0.0))
    queue.discard()
    assert queue.next() is None
