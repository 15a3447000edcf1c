"""The gradient in NumPy is that of autograd, and shares the memory of the parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handrail.core.errors import InvalidValueError
from handrail.nets import Mlp, numpy_gradient


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("output", [0, 1])
def test_the_gradient_of_one_output_is_that_of_autograd(activation: str, output: int):
    net = Mlp((7, 16, 12, 2), torch.Generator().manual_seed(0), activation)
    gradient = numpy_gradient(net, output)
    for scale in (1.0, 0.5):  # training changes the parameters in place
        with torch.no_grad():
            net[0].weight.mul_(scale)  # type: ignore[union-attr]
        for row in np.random.default_rng(0).standard_normal((5, 7), np.float32):
            x = torch.from_numpy(row)[None].requires_grad_()
            y = net(x)
            expected = torch.autograd.grad(y[0, output], x)[0]
            outputs, found = gradient(row)
            np.testing.assert_allclose(outputs, y.detach()[0], atol=1e-5)
            np.testing.assert_allclose(found, expected[0], atol=1e-5)


def test_error_layer():
    with pytest.raises(
        InvalidValueError, match="layer LayerNorm has no NumPy gradient: build the network of Linear, T"
    ):
        numpy_gradient(Mlp((2, 4, 1), torch.Generator(), "relu", layer_norm=True))
