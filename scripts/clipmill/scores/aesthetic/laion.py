"""LAION's improved aesthetic predictor (github.com/christophschuhmann/improved-aesthetic-predictor): a head on CLIP.

Apache-2.0. It goes with `openai/clip-vit-large-patch14`, in pictures of 224 pixels. Its scale is not that of the
predictor v2.5.
"""

from __future__ import annotations

from clipmill.models.published import LAION_HEAD
from clipmill.scores.aesthetic.learned import Head, LearnedAesthetic
from clipmill.scores.vision import CLIP


class Laion(LearnedAesthetic):
    """On CLIP's image embedding, after the projection."""

    name = "laion"
    version = 1
    architecture = CLIP
    layout = Head(prefix="layers", layers=(0, 2, 4, 6, 7), sizes=(1024, 128, 64, 16, 1), published=LAION_HEAD)
