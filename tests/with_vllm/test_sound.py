"""vLLM with models that hear: sounds beside pictures, and what a model without ears says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_engine import answered, engine, pictures

from clipmill.chat import Answer, Request, Task
from clipmill.checks import _sounds

TASK = Task(max_tokens=12, images=2, sound=True)


def said_of_sounds(folder: Path) -> dict[str, str]:
    """The answers of a model to the same question and pictures, with other sounds."""
    beeps, noise = _sounds()
    sounds = {"beeps": beeps, "noise": noise, "none": None, "beeps again": beeps}
    asked = [Request(name, "What?", pictures(1, 2), sound=sound) for name, sound in sounds.items()]
    said = answered(engine(folder), asked, TASK)
    assert all(isinstance(answer, Answer) for answer in said.values()), said
    return {name: answer.text for name, answer in said.items()}


@pytest.mark.parametrize("kind", ["qwen2_5_omni", "qwen3_omni"])
def test_an_answer_depends_on_the_sound_and_on_no_other_request(model, kind):
    """In a process of its own: vLLM starts no model with experts after one without."""
    code = f"""if 1:
        import json, sys
        from pathlib import Path
        sys.path[:0] = {sys.path!r}
        from test_sound import said_of_sounds
        print(json.dumps(said_of_sounds(Path({str(model(kind))!r}))))
    """
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    said = json.loads(ended.stdout.splitlines()[-1])
    assert said["beeps"] == said["beeps again"]
    assert len({said[name] for name in ("beeps", "noise", "none")}) == 3


def test_a_model_without_ears_refuses_the_sound_alone(model):
    asked = [Request("heard", "What?", pictures(1, 2), sound=_sounds()[0]), Request("seen", "What?", pictures(1, 2))]
    said = answered(engine(model("qwen2_5_vl")), asked, TASK)
    assert said["heard"].kind == "refused" and "audio" in str(said["heard"])
    assert isinstance(said["seen"], Answer)
