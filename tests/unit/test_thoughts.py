"""Thoughts before an answer: where they end, in the marks of each family of models."""

from __future__ import annotations

import pytest

from clipmill.chat import Answer, answer_of
from clipmill.texts.thoughts import has_thoughts, opened_thoughts, without_thoughts

CAR = "A red car drives by."
JSON = '{"text": "A red car drives by."}'
# As these models write, according to their chat templates and to the parsers of vLLM and SGLang.
WHOLE = {
    "Qwen3": "<think>\nThe user wants a caption.\n</think>\n\n{}",
    "Qwen3, thinking off": "<think>\n\n</think>\n\n{}",
    "Qwen3-Thinking, whose template opens": "Okay, the user wants a caption.\n</think>\n\n{}",
    "GLM-4.1V": "<think>A car.</think><answer>{}</answer>",
    "GLM-4.5V": "<think>A car.</think>\n<|begin_of_box|>{}<|end_of_box|>",
    "Kimi-VL": "◁think▷A car.◁/think▷{}",
    "Magistral": "[THINK]A car.[/THINK]{}",
    "Seed-OSS": "<seed:think>A car.</seed:think>{}",
    "Gemma 4": "<|channel>thought\nA car.<channel|>{}",
    "gpt-oss": "<|channel|>analysis<|message|>A car.<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>",
    "gpt-oss, JSON": "<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>final json<|message|>{}",
    "gpt-oss, without special tokens": "analysisThe user wants a caption.assistantfinal{}",
    "two blocks": "<think>A car.</think><think>Red.</think> {}",
    "an answer in marks alone": "<answer>{}</answer>",
    "no thoughts": "  {}\n",
}


@pytest.mark.parametrize("text", WHOLE.values(), ids=WHOLE)
@pytest.mark.parametrize("said", [CAR, JSON])
def test_an_answer_is_what_comes_after_the_thoughts(text, said):
    assert answer_of(text.replace("{}", said), True, "m") == Answer(said)
    assert without_thoughts(said) == said and not has_thoughts(said)


@pytest.mark.parametrize(
    "text",
    [
        "<think>",
        "<think>\nThe user wants a cap",
        " <think>A car.</think> <think>And",
        "◁think▷ A",
        "[THINK] A",
        "<|channel>thought\nA car",
        "<|channel|>analysis<|message|>A car",
        "analysisThe user",
        "<think>A car.</think>",
        "A car.</think>\n",
    ],
)
def test_thoughts_alone_are_no_answer(text):
    told = answer_of(text, False, "http://a/v1")
    assert (told.kind, told.lasting) == ("only_thoughts", False)
    assert str(told).startswith("http://a/v1: ")
    assert "template: {enable_thinking: false}" in str(told) and "max_tokens" in str(told)


def test_nothing_is_an_empty_answer():
    assert (answer_of(" \n", True, "m").kind, str(answer_of("", True, "m", " (why)"))) == (
        "empty_answer",
        "m: the answer is empty (why)",
    )


def test_marks_inside_of_an_answer_are_left_to_the_text_checks():
    text = "A red car. <think>Is it red?</think>"
    assert without_thoughts(text) == text
    assert has_thoughts(text)


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("<|im_start|>assistant\n<think>\n", "<think>"),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        ("<|im_start|>assistant\n", ""),
        ("<start_of_turn>model\n<|channel>thought\n", "<|channel>thought"),
    ],
)
def test_a_template_may_open_thoughts(prompt, mark):
    assert opened_thoughts(prompt) == mark
