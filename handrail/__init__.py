"""Handrail: failure-aware human-in-the-loop robot learning.

`import handrail` is cheap: the heavy parts load when they are first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_LAZY = {
    "Supervised": "handrail.run",
    "Supervisor": "handrail.run",
}
"""Public name -> the package that defines it; imported on first use."""

if TYPE_CHECKING:
    from handrail.run import Supervised as Supervised
    from handrail.run import Supervisor as Supervisor

__all__ = ["Supervised", "Supervisor", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'handrail' has no attribute '{name}'")
    return getattr(importlib.import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
