"""`snakemake beautify`: short prompts become texts in the style of the training captions, without any video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from runs import Outcome, call, explain, snakemake

from chat_server import Asked, ChatServer, is_check

LONG = "a {0} walks over wet stones in soft morning light while the camera follows it at a low height"
FILE = "my prompts.jsonl"
PROMPTS = [{"prompt": "a cat", "id": 7}, "a dog {0}", {"prompt": "a cat"}]


def answer(asked: Asked) -> str:
    """The text for a prompt: it stands in the question's last line."""
    if is_check(asked):
        return '{"text": "Grey."}'
    wish = asked.prompt.splitlines()[-1]
    return "I can do that." if "broken" in wish else json.dumps({"text": LONG.replace("{0}", wish)})


@pytest.fixture
def server():
    with ChatServer(answer) as server:
        yield server
        server.check()


def beautify(place: Path, server: ChatServer | None, prompts: str | None = FILE, **rewrite: Any) -> Outcome:
    config: dict[str, Any] = {"outdir": "out", "rewrite": {"backend": "rules", **rewrite}}
    if server:
        own = {"base_urls": [server.url], "model": "m", "backoff_seconds": 0.05}
        config["rewrite"] = {"backend": "openai", "max_tries": 2, **rewrite, "openai": own}
    if prompts:
        config["prompts"] = prompts
    (place / "my.yaml").write_text(yaml.safe_dump(config))
    return call([*snakemake(), "beautify", "--configfile", "my.yaml"], place)


def written(place: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place / "my prompts.beautified.jsonl").read_text().splitlines()]


def test_each_prompt_gets_its_text(tmp_path, server):
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in PROMPTS) + "\n")
    outcome = beautify(tmp_path, server)
    assert outcome.code == 0, outcome.output
    cat, dog = (LONG.replace("{0}", wish) for wish in ("a cat", "a dog {0}"))
    assert written(tmp_path) == [
        {"prompt": "a cat", "id": 7, "text": cat, "model": "openai: m"},
        {"prompt": "a dog {0}", "text": dog, "model": "openai: m"},
        {"prompt": "a cat", "text": cat, "model": "openai: m"},
    ]
    assert len(server.asked) == 2  # the same prompt once

    with open(tmp_path / FILE, "a") as file:
        file.write('"a bird"\n"a broken bird"\n')
    outcome = beautify(tmp_path, server)
    assert outcome.code == 0, outcome.output
    assert [line["text"] for line in written(tmp_path)] == [cat, dog, cat, LONG.replace("{0}", "a bird"), None]
    assert "not the fields" in written(tmp_path)[-1]["error"]
    assert "my prompts.beautified.jsonl: 5 prompts, 1 without a text" in outcome.output
    assert len(server.asked) == 2 + 1 + 2  # new ones alone, one of them twice


def test_what_is_wrong_with_the_prompts_is_told(tmp_path, server):
    assert explain(beautify(tmp_path, server, None), "config: `prompts` is not set", "--config prompts=")
    assert explain(beautify(tmp_path, server), f"failed: {FILE}: No such file or directory; correct `prompts`")
    for text, message in {
        "": "holds no prompt; write one a line",
        '{"text": "a cat"}\n': "line 1: has no text `prompt`",
        '"a cat"\n\n{"prompt": \n': "line 3: no JSON",
    }.items():
        (tmp_path / FILE).write_text(text)
        assert explain(beautify(tmp_path, server), f"failed: {FILE}", message)
    assert server.asked == []


def test_rules_write_no_prompts(tmp_path):
    (tmp_path / FILE).write_text('"a cat"\n')
    assert explain(beautify(tmp_path, None), "config: rewrite.backend: `rules` writes no prompts")
