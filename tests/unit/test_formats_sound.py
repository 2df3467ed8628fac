"""The wav files that VideoX-Fun reads: of the clip's own sound, as long as the video, and made once."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from made_exports import Clip, Export

from clipmill.dataset.formats.sound import write_wav

RATE, FPS, FRAMES = 44100, 25, 50  # two seconds


def video(path: Path, seconds: float = 2.0, late: float = 0.0, layout: str = "stereo") -> Path:
    """A video of 2 s; its sound, of a constant value in 16 bits, lasts `seconds` and begins `late`."""
    with av.open(path, "w") as container:
        pictures = container.add_stream("mpeg4", rate=FPS, width=64, height=48)
        sound = container.add_stream("aac", rate=RATE, layout=layout)
        for number in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(pictures.encode(frame))
        container.mux(pictures.encode(None))
        channels = 2 if layout == "stereo" else 1
        for first in range(0, round(seconds * RATE), 1024):
            count = min(1024, round(seconds * RATE) - first)
            part = av.AudioFrame.from_ndarray(np.full((1, count * channels), 8000, np.int16), "s16", layout)
            part.sample_rate, part.pts, part.time_base = RATE, first + round(late * RATE), Fraction(1, RATE)
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def read(path: Path) -> np.ndarray:
    """The samples, one row per time."""
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth()) == (RATE, 2)
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, file.getnchannels())


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("seconds", [1.928, 2.0, 2.4])
def test_it_is_exactly_as_long_as_the_video(tmp_path, seconds, layout):
    assert write_wav(video(tmp_path / "a.mp4", seconds, layout=layout), tmp_path / "a.wav", FRAMES / FPS)
    samples = read(tmp_path / "a.wav")
    assert samples.shape == (2 * RATE, 2 if layout == "stereo" else 1)
    loud = np.abs(samples[:, 0]) > 4000
    assert loud[2000:-4000].all() and bool(loud[-500:].any()) == (seconds >= 2)


def test_sound_that_begins_later_is_in_its_place(tmp_path):
    write_wav(video(tmp_path / "a.mp4", 1.0, late=0.5), tmp_path / "a.wav", 2.0)
    loud = np.abs(read(tmp_path / "a.wav")[:, 0]) > 4000
    assert abs(int(loud.argmax()) - RATE // 2) < 1100  # a frame of AAC


def of(path: Path, **more) -> Clip:
    return Clip(path.stem, file=path, frames=FRAMES, rate=Fraction(FPS), sound=True, **more)


def test_clips_with_sound_have_a_wav_that_is_made_once(tmp_path, monkeypatch):
    export = Export(tmp_path / "run", [of(video(tmp_path / "loud.mp4")), Clip("silent")])
    dataset = export.run("videox-fun")
    loud, silent = json.loads((dataset / "videox-fun" / "train.json").read_text())
    assert loud["audio_path"] == f"videox-fun/train/loud/{export.clips[0].id}.wav" and "audio_path" not in silent
    wav = dataset / loud["audio_path"]
    assert len(read(wav)) == 2 * RATE
    first = export.files()
    with monkeypatch.context() as patched:
        patched.setattr("clipmill.dataset.formats.sound._read", None)  # nothing is decoded again
        export.run("videox-fun", "easyanimate", text_prefix="sks ")
    assert export.files()[loud["audio_path"]] == first[loud["audio_path"]]
    wav.unlink()
    export.run("videox-fun")
    assert export.files() == first, "the same clips make the same bytes"
    export.run("easyanimate")
    assert not (dataset / "videox-fun").exists()


def test_sound_that_cannot_be_decoded_is_left_out(tmp_path, caplog):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    (entry,) = json.loads(
        (Export(tmp_path / "run", [of(broken)]).run("videox-fun") / "videox-fun/train.json").read_text()
    )
    assert "audio_path" not in entry and "its sound cannot be decoded" in caplog.text
    assert not list((tmp_path / "run").rglob("*.wav*"))
