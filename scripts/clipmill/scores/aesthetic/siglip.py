"""Aesthetic predictor v2.5 (github.com/discus0434/aesthetic-predictor-v2-5): a head on SigLIP so400m.

The head is published under the AGPL-3.0 and is not part of clipmill; it is fetched when it is used. EasyAnimate keeps
clips of 4.0 and more; the head's authors call 5.5 and more great.
"""

from __future__ import annotations

from clipmill.models.published import SIGLIP_HEAD
from clipmill.scores.aesthetic.learned import Head, LearnedAesthetic
from clipmill.scores.vision import SIGLIP


class SiglipV25(LearnedAesthetic):
    """On the pooled output of SigLIP's vision tower."""

    name = "siglip-v2.5"
    version = 1
    architecture = SIGLIP
    layout = Head(prefix="scoring_head", layers=(0, 2, 4, 6, 8), sizes=(1024, 128, 64, 16, 1), published=SIGLIP_HEAD)
