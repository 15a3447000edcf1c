"""Who holds the robot besides the policy: simulated people, stand-ins, players of records, and input devices."""

from handrail.operators.foresight import ExpertValue, StepsToGo
from handrail.operators.person import Person
from handrail.operators.player import Player, Recorder
from handrail.operators.surrogates import HandsOff, Laggy, Noisy, ValueTakeover
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
    "Person",
    "TakeoverLaw",
    "Traits",
    "draw_traits",
    "training_draw",
    "TIERS",
    "DEVELOPMENT_DRAWS",
    "EVALUATION_DRAWS",
    "HandsOff",
    "Laggy",
    "Noisy",
    "ValueTakeover",
    "ExpertValue",
    "StepsToGo",
    "Player",
    "Recorder",
]
