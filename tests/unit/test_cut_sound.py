"""The sound of clip files: in step with the picture to milliseconds, as long as it, and found out if it is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cut_sources import FPS, KINDS, UNEVEN, Source, cut_settings, h264, make, read, run
from films import decoded

from clipmill.base.errors import ItemError
from clipmill.cut.clip import cut_clip
from clipmill.cut.shard import _key
from clipmill.cut.sound import check_sound
from clipmill.cut.verify import Mismatch, SourceFrames
from clipmill.decode.parts import as_of_part
from clipmill.decode.reading import frame_times
from clipmill.decode.sound import Sound, SoundClock, picture_lag, read_sound, resampled, silence
from default_config import CONFIG, CUT_SETTINGS, problems_of

RATE = 44100
LATE = 0.3  # seconds by which the sound of some files begins later
CLICKS = (10, 50, 62, 75, 110)  # the frames at which clicks are heard
pytestmark = pytest.mark.slow


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    """A file of sound: samples, or samples × channels, of ±1."""
    raw = path.with_suffix(".raw")
    raw.write_bytes((np.atleast_2d(samples.T).T * 32767).astype("<i2").tobytes())
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    run("-y", "-f", "s16le", "-ar", str(rate), "-ac", str(channels), "-i", str(raw), str(path))
    return path


def clicks(times: np.ndarray, seconds: float = 6.0) -> np.ndarray:
    """Quiet noise in which short loud noise begins at these times."""
    chance = np.random.default_rng(3)
    samples = chance.uniform(-0.003, 0.003, int(seconds * RATE))
    for time in times:
        place = round(time * RATE)
        samples[place : place + 90] = chance.uniform(-0.9, 0.9, 90)
    return samples


def heard(path: Path) -> list[float]:
    """When the clicks of a file are heard, as PyAV reads it, in seconds of its own clock."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        rate = frames[0].sample_rate
        samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    loud = np.flatnonzero(np.abs(samples) > 0.2)
    return [frames[0].time + place / rate for n, place in enumerate(loud) if not n or place - loud[n - 1] > rate // 20]


class Film:
    """A video that was decoded once. Clips are cut from it to `clip`."""

    def __init__(self, path: Path):
        self.path, self.clip, self._film = path, path.with_name("clip.mp4"), decoded(path)
        self._times = frame_times(self._film.row, self._film.signals)
        self.frames = self._film.row["frames"]

    def cut(self, start: int, end: int, **settings: Any) -> dict:
        source = SourceFrames.of(self._film.signals, self._times, start, end)
        video = as_of_part(self._film.row, self._film.parts[0])
        clip = self._film.clip(start, end, target_frames=None)
        return cut_clip(self.path, self.clip, video, clip, source, cut_settings(**settings))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> dict[str, Path]:
    """Videos of 120 frames that carry their number: at an even and an uneven rate, and as old containers need them."""
    folder = tmp_path_factory.mktemp("pictures")
    uneven = (*UNEVEN, "-enc_time_base", "1/90000", *h264(20))
    plain = make(folder / "plain.avi", KINDS["plain_mpeg4.avi"]["arguments"])
    return {"even": make(folder / "even.mp4", h264(20)), "uneven": make(folder / "uneven.mp4", uneven), "plain": plain}


SOURCES = {
    "aac.mp4": ("even", 0, ("-c:a", "aac")),
    "late.mp4": ("even", LATE, ("-c:a", "aac")),
    "early.mp4": ("even", -LATE, ("-c:a", "aac")),
    "uneven.mp4": ("uneven", 0, ("-c:a", "aac")),
    "late.mov": ("even", LATE, ("-c:a", "pcm_s16le")),
    "aac.mkv": ("even", 0, ("-c:a", "aac")),
    "opus.mkv": ("even", LATE, ("-c:a", "libopus")),
    "uneven.mkv": ("uneven", LATE, ("-c:a", "flac")),
    "aac.ts": ("even", 0, ("-c:a", "aac")),
    "late.ts": ("even", LATE, ("-c:a", "mp2")),
    "pcm.avi": ("plain", 0, ("-c:a", "pcm_s16le")),
    "aac.flv": ("even", 0, ("-c:a", "aac")),
}


def with_clicks(pictures: dict[str, Path], folder: Path, name: str) -> Path:
    """A video of SOURCES: clicks are heard when the frames CLICKS begin, however late its sound begins."""
    kind, late, coding = SOURCES[name]
    times = Source(pictures[kind]).frames.time[list(CLICKS)]
    sound = wav(folder / "clicks.wav", clicks(times - late))
    tracks = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", *coding)
    run("-y", "-i", str(pictures[kind]), "-itsoffset", str(late), "-i", str(sound), *tracks, str(folder / name))
    return folder / name


def check_clicks(file: Path, frames: int) -> None:
    """Each click is heard when its frame is shown, to 5 ms; the sound is as long as the picture, to a frame."""
    numbers, times, _ = read(file)
    assert len(numbers) == frames
    wanted = [times[numbers.index(frame)] for frame in CLICKS if frame in numbers]
    assert heard(file) == pytest.approx(wanted, abs=0.005) and len(wanted) > 1
    with av.open(str(file)) as container:
        sound, picture = container.streams.audio[0], container.streams.video[0]
        lengths = [float(stream.duration * stream.time_base) for stream in (sound, picture)]
        assert lengths[0] == pytest.approx(lengths[1], abs=1 / FPS)
        assert sound.start_time == picture.start_time == 0
        assert (sound.rate, sound.channels) == (48000, 2)


@pytest.mark.parametrize("name", SOURCES)
def test_a_click_is_heard_when_its_frame_is_shown(pictures, tmp_path, name):
    film = Film(with_clicks(pictures, tmp_path, name))
    for mode in ("copy", "reencode"):
        assert film.cut(40, 80, mode=mode, audio=True)["cut_sound"] is True
        check_clicks(film.clip, 40)


def test_clicks_after_an_edit_list(pictures, tmp_path):
    """The beginning of the file is cut off without encoding, between two frames: packets before it are not shown."""
    whole, path = with_clicks(pictures, tmp_path, "aac.mp4"), tmp_path / "edited.mp4"
    run("-ss", "0.7", "-i", str(whole), "-c", "copy", str(path))
    film = Film(path)
    hidden = 120 - film.frames
    assert picture_lag(path) == pytest.approx(hidden / FPS - 0.7, abs=0.001) and picture_lag(whole) == 0
    for mode in ("copy", "reencode"):
        film.cut(40 - hidden, 80 - hidden, mode=mode, audio=True)
        check_clicks(film.clip, 40)


def test_clicks_at_another_rate(pictures, tmp_path):
    """At 10 frames per second a frame may be shown before its time in the video, but the sound is where it was."""
    film = Film(with_clicks(pictures, tmp_path, "late.mp4"))
    film.cut(40, 100, fps=10, audio=True)
    wanted = [(frame - 40) / FPS for frame in CLICKS if 40 <= frame < 100]
    assert heard(film.clip) == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize("begin", [2.0, 3.0])
def test_sound_is_as_long_as_the_picture(pictures, tmp_path, begin):
    """Where it begins later or ends earlier it is filled with silence, to the end."""
    sound = wav(tmp_path / "s.wav", clicks(np.empty(0), seconds=1.0))
    inputs = ("-i", str(pictures["even"]), "-itsoffset", str(begin), "-i", str(sound))
    run(*inputs, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", str(tmp_path / "v.mp4"))
    film = Film(tmp_path / "v.mp4")
    for mode in ("copy", "reencode"):
        film.cut(40, 100, mode=mode, audio=True)
        with av.open(str(film.clip)) as container:
            stream = container.streams.audio[0]
            assert float(stream.duration * stream.time_base) == pytest.approx(60 / FPS, abs=1 / FPS)


def test_all_clips_have_one_rate_and_number_of_channels(pictures, tmp_path):
    t = np.arange(5 * RATE) / RATE
    tones = np.stack([0.3 * np.sin(2 * np.pi * pitch * t) for pitch in (440, 554, 659)], axis=1)
    for samples, rate, channels in ((tones[:, 0], 48000, 1), (tones[:, :2], 16000, 2), (tones, 44100, 1)):
        both = ("-i", str(pictures["even"]), "-i", str(wav(tmp_path / "s.wav", samples)), "-map", "0:v", "-map", "1:a")
        run("-y", *both, "-c:v", "copy", "-c:a", "pcm_s16le", str(tmp_path / "v.mov"))
        film = Film(tmp_path / "v.mov")
        film.cut(40, 80, audio=True, audio_rate=rate, audio_channels=channels)
        found = read_sound(film.clip, 0, 1.5)
        assert (found.rate, found.channels) == (rate, channels)
        spectrum = np.abs(np.fft.rfft(found.samples[rate // 4 : rate + rate // 4].mean(axis=1)))
        assert int(spectrum.argmax()) in (440, 554, 659), "the pitch stays"


def test_a_clip_without_sound_is_silent_if_the_config_says_so(pictures, tmp_path):
    path = tmp_path / "v.mp4"
    path.symlink_to(pictures["even"])
    film = Film(path)
    for mode in ("copy", "reencode"):
        assert film.cut(40, 80, mode=mode, audio=True)["cut_sound"] is False
        assert film.cut(40, 80, mode=mode, audio=True, audio_silence=True)["cut_sound"] is True
        found = read_sound(film.clip, 0, 40 / FPS)
        assert not found.samples.any() and (found.rate, found.layout) == (48000, "stereo")
    for word in ("require", "required"):
        with pytest.raises(ItemError) as caught:
            film.cut(40, 80, audio=word)
        assert caught.value.kind == "no_sound"


def test_silence_needs_a_track_that_is_kept():
    for audio in (False, "require"):
        cut_section = {**CONFIG["cut"], "audio": audio, "audio_silence": True}
        (problem,) = problems_of({**CONFIG, "cut": cut_section})
        assert problem.startswith("cut.audio_silence: gives silence to clips without sound only with cut.audio: true")


# --- what has been cut stays ----------------------------------------------------------------------------------------


def test_only_clips_with_sound_are_cut_again_when_sound_is_made_otherwise():
    clip = {"source_key": "k", "start_frame": 0, "end_frame": 40, "target_frames": None}

    def key(has_audio: bool, **changes: Any) -> str:
        return _key(clip, {"has_audio": has_audio}, cut_settings(**{**CUT_SETTINGS, **changes}))

    assert key(True) == key(True, audio_rate=44100, audio_channels=1) == key(False)
    assert key(False, audio=True) == key(False, audio=True, audio_rate=44100)
    assert key(True, audio="require") == key(True, audio="required")
    kinds = [{}, {"audio_rate": 44100}, {"audio_channels": 1}, {"audio": "require"}, {"audio": False}]
    assert len({key(True, **{"audio": True, **kind}) for kind in kinds}) == len(kinds)
    assert key(False, audio=True) != key(False, audio=True, audio_silence=True)


# --- wrong sound is found -------------------------------------------------------------------------------------------


def of_kind(kind: str) -> Sound:
    """Four seconds of sound."""
    t = np.arange(4 * 48000) / 48000
    chance = np.random.default_rng(8)
    high = 0.3 * np.sin(2 * np.pi * 12000 * t)
    samples = {
        "noise": chance.uniform(-0.3, 0.3, len(t)),
        "chord": sum(0.1 * np.sin(2 * np.pi * pitch * t) for pitch in (110, 138.6, 164.8)),
        "hum": 0.4 * np.sin(2 * np.pi * 50 * t),
        "high beeps": high * (np.floor(t * 7.3) % 3 == 0),
        "quiet": chance.uniform(-0.004, 0.004, len(t)),
    }[kind]
    return Sound(np.stack([samples, 0.7 * samples], axis=1).astype(np.float32), 48000, "stereo")


def encoded(sound: Sound, path: Path) -> Path:
    """An mp4 file with this sound alone."""
    path.with_suffix(".raw").write_bytes(sound.samples.astype("<f4").tobytes())
    raw = ("-f", "f32le", "-ar", str(sound.rate), "-ac", "2", "-i", str(path.with_suffix(".raw")))
    run("-y", *raw, "-c:a", "aac", "-b:a", "192k", str(path))
    return path


@pytest.mark.parametrize("kind", ["noise", "chord", "hum", "high beeps", "quiet"])
def test_sound_that_is_off_by_milliseconds_is_found(tmp_path, kind):
    sound = of_kind(kind)
    path = encoded(sound, tmp_path / "s.mp4")
    check_sound(path, sound, 48000, 2, 1 / FPS)
    for late, words in ((0.003, "-0.00"), (-0.003, r"\+0.00"), (0.023, "-0.0"), (-0.173, "off")):
        moved = replace(sound, samples=np.roll(sound.samples, round(late * 48000), axis=0))
        with pytest.raises(Mismatch, match=words):
            check_sound(path, moved, 48000, 2, 1 / FPS)
    check_sound(path, replace(sound, samples=np.roll(sound.samples, 24, axis=0)), 48000, 2, 1 / FPS)


def test_another_sound_is_found(tmp_path):
    sound = of_kind("noise")
    path = encoded(sound, tmp_path / "s.mp4")
    other = np.random.default_rng(9).uniform(-0.3, 0.3, sound.samples.shape).astype(np.float32)
    for samples in (other, sound.samples * 0, sound.samples * 0.1):
        with pytest.raises(Mismatch, match="the sound is not the source's"):
            check_sound(path, replace(sound, samples=samples), 48000, 2, 1 / FPS)
    for wanted, words in (
        ((sound, 48000, 1), "48000 samples per second and 2 channels"),
        ((sound, 44100, 2), "48000 samples per second"),
        ((silence(3, 48000, "stereo"), 48000, 2), "4.0.. s long, and the picture 3.000 s"),
    ):
        with pytest.raises(Mismatch, match=words):
            check_sound(path, *wanted, 1 / FPS)


def test_a_file_whose_sound_was_moved_or_is_missing_is_not_accepted(pictures, tmp_path, monkeypatch):
    """Where ffmpeg writes other sound than it was given, cutting fails. `off`: by how much it begins too early."""
    film = Film(with_clicks(pictures, tmp_path, "aac.mp4"))
    monkeypatch.setattr(Path, "write_bytes", lambda file, data: _write(file, data[round(0.004 * 48000) * 2 * 4 :]))
    with pytest.raises(ItemError, match=r"the sound is -0.004. s off"):
        film.cut(40, 80, mode="reencode", audio=True)
    monkeypatch.undo()
    with pytest.raises(Mismatch, match="the sound is missing"):
        check_sound(pictures["even"], of_kind("noise"), 48000, 2, 1 / FPS)


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


# --- times of sound -------------------------------------------------------------------------------------------------


def frames(times: np.ndarray, count: int) -> list[av.AudioFrame]:
    """Frames of `count` samples at 48000 per second, with these times."""
    made = []
    for time in times:
        frame = av.AudioFrame.from_ndarray(np.ones((1, count), np.float32), "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), round(time * 48000)
        made.append(frame)
    return made


def test_times_that_are_not_exact_are_taken_on_average():
    """Jitter is no gap; a clock that runs at another speed is followed; a gap stays in its place."""
    chance = np.random.default_rng(2)
    steady = np.arange(400) * 0.02
    for times, allowed in (
        (steady + chance.uniform(-0.008, 0.008, 400), 0.012),
        (steady * 1.002, 0.005),
        (steady + (np.arange(400) > 200) * 0.5, 0.001),
    ):
        clock, off = SoundClock(0.0), []
        for frame in frames(times, 960):
            place = clock.place(frame)
            off.append(place / 48000 - frame.time)
            clock.values(frame, place)
        assert np.abs(off).max() <= allowed


def test_resampling_moves_nothing():
    sound = of_kind("noise")
    low = resampled(sound, 16000, "mono")
    assert (low.rate, low.channels, len(low.samples)) == (16000, 1, 4 * 16000)
    tone = Sound(np.sin(2 * np.pi * 100 * np.arange(44100) / 44100)[:, None].astype(np.float32), 44100, "mono")
    for layout, count in (("mono", 1), ("stereo", 2), ("5.1", 6)):  # as loud as each of its channels
        same = Sound(np.repeat(tone.samples, count, axis=1), 44100, layout)
        for other in ("mono", "stereo"):
            assert np.allclose(np.abs(resampled(same, 48000, other).samples).max(axis=0), 1, atol=0.01)
    wanted = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000)
    assert np.abs(resampled(tone, 16000).samples[200:-200, 0] - wanted[200:-200]).max() < 0.001
