"""A run that begins to look at sound: it decodes again, and captions, scores and keys of all else stay as they are."""

from __future__ import annotations

import json

import av
import pytest
from runs import Run

from clipmill.models.published import SILERO
from clipmill.models.speech import FILE

pytestmark = pytest.mark.skipif(not FILE.is_file(), reason="needs the model of Silero VAD (make silero)")
WITH_SOUND = {"cut": {"audio": "require"}, "split": {"keep_speech": True}, "filters": {"loudness": {"min": -60}}}
STEPS = ("decode", "consistency", "aesthetic", "text", "caption", "rewrite", "cut")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A finished run that has not looked at sound."""
    run = Run(tmp_path_factory.mktemp("sound") / "run")
    run.video("loud.mp4", seconds=3, audio=True)
    run.video("silent.mp4", seconds=3, picture="astronaut.png")
    run.done()
    assert run.kept() == {"loud.mp4", "silent.mp4"}
    return run


def test_sound_is_measured_later_and_clips_without_it_are_dropped(run):
    assert all(row["loudness"] is None for row in run.verdicts())
    assert {row["name"]: row["has_sound"] for row in run.verdicts()} == {"loud.mp4": None, "silent.mp4": False}
    before = run.written(*STEPS)
    assert "work/sound" in run.done("plan", config=WITH_SOUND).output
    run.done(config=WITH_SOUND)
    assert run.more(before) == {**dict.fromkeys(STEPS, 0), "decode": 2, "cut": 1}
    rows = {row["name"]: row for row in run.verdicts()}
    assert (rows["silent.mp4"]["kept"], rows["silent.mp4"]["reason"]) == (False, "no_sound")
    loud = rows["loud.mp4"]
    assert loud["kept"] and loud["cut_sound"] and loud["has_sound"]
    # A tone of 440 Hz and −20 dB, which makes −23 LUFS, in one channel.
    assert loud["loudness"] == pytest.approx(-23.7, abs=0.5) and loud["audio_peak"] == pytest.approx(-20, abs=0.5)
    assert (loud["silence_share"], loud["clipping_share"], loud["stereo_width"]) == (pytest.approx(0, abs=0.02), 0, 0)
    assert loud["audio_bandwidth"] <= 750 and loud["speech_share"] < 0.1
    with av.open(str(run.outdir / "dataset" / run.train()[0]["file_path"])) as container:
        assert (container.streams.audio[0].rate, container.streams.audio[0].channels) == (48000, 2)
    models = json.loads((run.outdir / "models.json").read_text(encoding="utf-8"))
    assert SILERO in json.dumps(models) and not run.errors()
    assert "loudness" in (run.outdir / "report.html").read_text(encoding="utf-8")
    assert run.run(config=WITH_SOUND).nothing_done


def test_another_bound_decodes_nothing(run):
    before = run.written(*STEPS)
    run.done(config={**WITH_SOUND, "filters": {"loudness": {"min": -10}}})
    assert run.written(*STEPS) == before
    assert {row["name"]: row["reason"] for row in run.verdicts()} == {
        "loud.mp4": "loudness low",
        "silent.mp4": "no_sound",
    }
