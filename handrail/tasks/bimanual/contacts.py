"""Who touches whom, and how hard, from one look at the contact list."""

from __future__ import annotations

from collections.abc import Collection

import mujoco
import numpy as np

from handrail.core.values import Array


class Contacts:
    """The contacts of this instant by body. Build one a step and ask it as often as needed."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        geoms = data.contact.geom  # (ncon, 2)
        self._pairs: list[list[int]] = model.geom_bodyid[geoms].tolist() if data.ncon else []
        self._forces: list[float] | None = None

    def between(self, ones: Collection[int], others: Collection[int]) -> list[int]:
        """Indices of the contacts between a body of `ones` and a body of `others`."""
        return [
            index
            for index, (a, b) in enumerate(self._pairs)
            if (a in ones and b in others) or (b in ones and a in others)
        ]

    def touching(self, ones: Collection[int], others: Collection[int]) -> bool:
        """Whether any of `ones` touches any of `others`."""
        return any((a in ones and b in others) or (b in ones and a in others) for a, b in self._pairs)

    def touched(self, body: int) -> set[int]:
        """Every body that touches `body`."""
        return {b if a == body else a for a, b in self._pairs if body in (a, b)}

    def force_n(self, ones: Collection[int], others: Collection[int]) -> float:
        """Sum of the normal forces [N] between the two groups."""
        return sum(self._normal_forces()[index] for index in self.between(ones, others))

    def largest_n(self, ones: Collection[int], excluded: Collection[int]) -> float:
        """Largest normal force [N] on a body of `ones` from a body that is neither of them nor `excluded`."""
        largest = 0.0
        for index, (a, b) in enumerate(self._pairs):
            outside = b if a in ones else a if b in ones else -1
            if outside >= 0 and outside not in excluded and not (a in ones and b in ones):
                largest = max(largest, self._normal_forces()[index])
        return largest

    def _normal_forces(self) -> list[float]:
        if self._forces is None:
            force: Array = np.zeros(6)
            self._forces = []
            for index in range(len(self._pairs)):
                mujoco.mj_contactForce(self._model, self._data, index, force)
                self._forces.append(float(force[0]))
        return self._forces
