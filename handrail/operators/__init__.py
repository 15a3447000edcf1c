"""Who holds the robot besides the policy: simulated people, surrogates, players of records, and real input devices."""

from handrail.operators.person import Person
from handrail.operators.takeover import TakeoverLaw
from handrail.operators.traits import (
    DEVELOPMENT_DRAWS,
    EVALUATION_DRAWS,
    TIERS,
    Traits,
    draw_traits,
    training_draw,
)

__all__ = [
    "DEVELOPMENT_DRAWS",
    "EVALUATION_DRAWS",
    "Person",
    "TIERS",
    "TakeoverLaw",
    "Traits",
    "draw_traits",
    "training_draw",
]
