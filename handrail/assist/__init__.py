"""What runs beside a policy: monitors, triggers and recoveries."""

from __future__ import annotations

from handrail.assist.calibration import Calibration, CalibrationConfig
from handrail.assist.guide_actor import GuideActor, ScoreAscent
from handrail.assist.imagination import Imagination
from handrail.assist.mppi import MPPI, MPPIConfig
from handrail.assist.oracle import LookAhead
from handrail.assist.place_guide import PlaceGuide, PlaceGuideConfig
from handrail.assist.recovery import PolicyRecovery, Rejection, Scripted
from handrail.assist.safety_q import SafetyQMonitor
from handrail.assist.success_score import SuccessScore
from handrail.assist.triggers import Never, Threshold, Timer
from handrail.assist.world_model import WorldModelMonitor
from handrail.assist.yoked import YokedTrigger

__all__ = [
    "Calibration",
    "CalibrationConfig",
    "GuideActor",
    "Imagination",
    "LookAhead",
    "MPPI",
    "MPPIConfig",
    "Never",
    "PlaceGuide",
    "PlaceGuideConfig",
    "PolicyRecovery",
    "Rejection",
    "SafetyQMonitor",
    "ScoreAscent",
    "Scripted",
    "SuccessScore",
    "Threshold",
    "Timer",
    "WorldModelMonitor",
    "YokedTrigger",
]
