"""Encoders and the few network pieces that several algorithms share."""

from . import gaussian
from .arrays import generator_text, load_generator, load_module, load_optimizer, module_arrays, optimizer_arrays
from .encoders import (
    CnnConfig,
    CnnEncoder,
    Difference,
    EncoderFactory,
    ObservationEncoder,
    StateEncoder,
    StateFactory,
    batched,
    state_sizes,
)
from .fast import numpy_forward, numpy_gradient
from .mlp import Ensemble, Mlp, frozen
from .threads import one_thread

__all__ = [
    "CnnConfig", "CnnEncoder", "EncoderFactory", "Ensemble", "Mlp", "ObservationEncoder", "StateEncoder",
    "Difference", "StateFactory", "batched", "frozen", "gaussian", "generator_text", "load_generator", "load_module",
    "load_optimizer", "module_arrays", "numpy_forward", "numpy_gradient", "one_thread", "optimizer_arrays",
    "state_sizes",
]  # fmt: skip
