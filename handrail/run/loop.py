"""The one rollout loop. Systems iterate over it; what they do with a step is theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from handrail.core.chunk import ChunkQueue
from handrail.core.contracts import Policy, Sink
from handrail.core.values import Array, Authority, Step
from handrail.run.supervised import Supervised


def episode(
    env: Supervised,
    policy: Policy,
    *,
    seed: int | None = None,
    operator_draw: int = 0,
    sinks: Sequence[Sink] = (),
    options: Mapping[str, Any] | None = None,
) -> Iterator[Step]:
    """Run one episode and yield every executed step after all `sinks` have it.

    Args:
        env: the supervised environment.
        policy: proposes chunks (H, A); what is left of a chunk is discarded when authority leaves the policy.
        seed: env seed of the reset.
        operator_draw: who the operator is.
        options: of the reset, besides.
    """
    env.reset(seed=seed, options={**(options or {}), "operator_draw": operator_draw})
    policy.reset()
    queue = ChunkQueue()
    while True:
        step = _step(env, policy, queue)
        for sink in sinks:
            sink.add(step)
        yield step
        if step.done:
            return


def _step(env: Supervised, policy: Policy, queue: ChunkQueue) -> Step:
    action = queue.next()
    if action is None:
        queue.refill(policy.act(env.observation))
        action = _first(queue)
    env.step(action)
    step = env.last_step
    assert step is not None
    if step.authority is not Authority.POLICY:
        queue.discard()
    return step


def _first(queue: ChunkQueue) -> Array:
    action = queue.next()
    assert action is not None, "the policy proposed an empty chunk"
    return action


def run_episode(env: Supervised, policy: Policy, **options: object) -> list[Step]:
    """Run one episode to its end; see `episode`."""
    return list(episode(env, policy, **options))  # type: ignore[arg-type]
