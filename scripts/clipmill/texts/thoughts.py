"""Thoughts that a model writes before its answer, in the marks of today's models: where they end, and what is left.

`<think>` of Qwen, DeepSeek and GLM (and `<thinking>`, `<seed:think>`), `◁think▷` of Kimi, `[THINK]` of Mistral, Gemma's
`<|channel>thought`, and the channels of gpt-oss, with or without its special tokens.
"""

from __future__ import annotations

import re

# Strings, not patterns: `re` compiles each when it is first used, and all jobs import this module.
OPENING = (
    r"<(?:\w+:)?think(?:ing)?>|◁think▷|\[THINK\]|<\|channel>thought\b"
    r"|(?:<\|start\|>assistant)?<\|channel\|>analysis\b|^analysis(?=[A-Z])"
)
CLOSING = (
    r"</(?:\w+:)?think(?:ing)?>|◁/think▷|\[/THINK\]|<channel\|>"
    r"|(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final\b[^<]*<\|message\|>|\bassistantfinal"
)
# Some models put marks around the answer itself.
ANSWER_BEGINS = r"^(?:<answer>|<\|begin_of_box\|>)"
ANSWER_ENDS = r"(?:</answer>|<\|end_of_box\|>|<\|(?:end|return)\|>)$"
# How thoughts begin that have no marks: what opened them is in the model's chat template.
THINKS_ALOUD = (
    r"(?i)^(?:(?:okay|ok|alright|hmm+|well|so|got it)\b[,.!]? *)*"
    r"(?:the user (?:wants? (?:a|an|me|us|to)|is asking (?:for|me|us)|has (?:asked|provided|given|shared))\b"
    r"|let(?:(?:'|’)s| me| us) (?:see|think|analy[sz]e|break|start by|look at (?:the|these|this|each))\b"
    r"|(?:i|we) (?:need|have) to (?:write|describe|produce|caption|rewrite|analy[sz]e)\b"
    r"|we(?:'|’| a)re (?:asked|given)\b|thinking process\b|thought\s*\n)"
)


def without_thoughts(text: str) -> str | None:
    """An answer without the thoughts before it, and without marks around it; None if it ends within the thoughts.

    A closing mark alone ends thoughts too, since many chat templates open them. Marks further inside are left.
    """
    said = text.strip()
    while True:
        opening, closing = re.search(OPENING, said), re.search(CLOSING, said)
        if opening and opening.start() and (closing is None or opening.start() < closing.start()):
            break
        if closing is None:
            if opening:
                return None
            break
        said = said[closing.end() :].strip()
    if re.search(ANSWER_BEGINS, said) or said != text.strip():
        said = re.sub(ANSWER_ENDS, "", re.sub(ANSWER_BEGINS, "", said)).strip()
    return said


def opened_thoughts(prompt: str) -> str:
    """The mark at the end of a prompt if it opens thoughts: the answer then begins within them. Else ""."""
    found = re.search(rf"(?:{OPENING})$", prompt.rstrip())
    return found[0] if found else ""


def has_thoughts(text: str) -> bool:
    """Whether a text holds marks of thoughts, or begins as thoughts do."""
    return any(re.search(pattern, text) for pattern in (OPENING, CLOSING, THINKS_ALOUD))
