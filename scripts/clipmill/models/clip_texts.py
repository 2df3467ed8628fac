"""How CLIP's own tokenizer cleans a text. The tokenizer of transformers leaves this step out."""

from __future__ import annotations

import html

from clipmill.models.backends import explaining_missing_packages


def cleaned(text: str) -> str:
    """The text on one line, without typographic quotes, ligatures, wide letters, broken encodings and HTML entities.

    Sources: clip/simple_tokenizer.py in openai/CLIP; for VideoCLIP-XL the same in aigc-apps/EasyAnimate at commit
    c2a70d1, easyanimate/video_caption/utils/longclip/simple_tokenizer.py. Raises SetupError if ftfy is not installed.
    """
    with explaining_missing_packages():
        import ftfy  # comes with the models' packages

    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
