"""What the camera does, in words."""

from __future__ import annotations

from clipmill.captions import ClipFacts
from clipmill.store.tables import MIXED, STATIC
from clipmill.texts.levels import Steps, level

# A move that is slower is not seen, and its direction may be that of noise: fixed cameras are measured at up to 0.5.
LEAST_SPEED = 0.6  # percent of the short side per second
HARDLY_MOVES = "hardly moves"
CAMERA_SPEED: Steps = ((5, " slowly"), (20, ""))  # percent of the short side per second
# A verb, after which the speed is said, and where to.
CAMERA_WORDS = {
    STATIC: ("is still", ""),
    "pan_left": ("pans", " to the left"),
    "pan_right": ("pans", " to the right"),
    "tilt_up": ("tilts", " up"),
    "tilt_down": ("tilts", " down"),
    "zoom_in": ("zooms", " in"),
    "zoom_out": ("zooms", " out"),
    "roll_cw": ("turns", " clockwise"),
    "roll_ccw": ("turns", " counter-clockwise"),
    MIXED: ("moves", " in several directions"),
}


def camera_phrase(clip: ClipFacts) -> str:
    """What the camera does, as a phrase with a verb, like `is still` or `pans slowly to the left`; empty if unknown."""
    if clip.camera not in CAMERA_WORDS:
        return ""
    verb, where = CAMERA_WORDS[clip.camera]
    if clip.camera == STATIC or clip.camera_speed is None:
        return f"{verb}{where}"
    if clip.camera_speed < LEAST_SPEED:
        return HARDLY_MOVES
    return f"{verb}{level(clip.camera_speed, CAMERA_SPEED, ' quickly')}{where}"
