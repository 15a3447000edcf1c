# mujoco's names come from compiled modules without stubs; pyright takes each as Any.
from typing import Any

def __getattr__(name: str) -> Any: ...
