"""Scores of sound, on sounds whose truth is known, and speech against tones."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cut_sources import FFMPEG, h264, make, run
from films import SETTINGS, entry

from clipmill.base.errors import SetupError
from clipmill.checks import check_backend
from clipmill.decode.media import open_video
from clipmill.decode.parts import as_of_part
from clipmill.decode.shard import decode_settings, decode_shard
from clipmill.decode.sound import Sound, resampled
from clipmill.decode.sound_signals import PER_SECOND, SPEECH_RATE, SPEECH_WINDOW, SoundMeter, Speech
from clipmill.decode.video import SOUND, SPEECH
from clipmill.models.published import PUBLISHED, SILERO
from clipmill.models.speech import FILE, SileroVad
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.split.sound import HeardVideo, sound_score
from clipmill.store import tables
from clipmill.store.layout import Paths
from default_config import CONFIG, SPLIT_SETTINGS

RATE = 48000
SECONDS = 6
SHARD = "000000"
SCORES = [column.name for column in tables.scores(tables.SOUND) if column.name != "has_sound"]
VIDEO = {"has_audio": True, "offset": 0.0, "changes": None}
pytestmark = pytest.mark.slow
needs_model = pytest.mark.skipif(not FILE.is_file(), reason="needs the model of Silero VAD (make silero)")


def noise(seed: int = 0, seconds: float = SECONDS, rate: int = RATE) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.3, 0.3, round(seconds * rate))


def tone(pitch: float, strength: float = 0.3, rate: int = RATE) -> np.ndarray:
    return strength * np.sin(2 * np.pi * pitch * np.arange(SECONDS * rate) / rate)


def file_of(path: Path, samples: np.ndarray, *coding: str, rate: int = RATE) -> Path:
    """A file with this sound alone: samples, or samples × channels, of ±1."""
    samples = samples if samples.ndim == 2 else samples[:, None]
    raw = path.with_suffix(".raw")
    raw.write_bytes(samples.astype("<f4").tobytes())
    given = ("-f", "f32le", "-ar", str(rate), "-ac", str(samples.shape[1]), "-i", str(raw))
    run("-y", *given, *(coding or ("-c:a", "pcm_f32le")), str(path))
    return path


def heard(path: Path, speech: Speech | None = None) -> HeardVideo:
    """The signals of a file's sound."""
    with open_video(path) as container, SoundMeter(container, path, path.with_suffix(".parquet"), {}, speech) as meter:
        for packet in container.demux(container.streams.audio[0]):
            meter.packet(packet, False)
    return HeardVideo.of(tables.SOUND_SIGNALS.read(path.with_suffix(".parquet")))


def scores(path: Path, start: float = 0.0, end: float = SECONDS, speech: SileroVad | None = None) -> dict[str, Any]:
    """The scores of a file's sound from `start` to `end`."""
    clip = {"clip_id": "c", "start": start, "end": end, "start_frame": 0, "end_frame": 1}
    return sound_score(clip, VIDEO, heard(path, speech))


def ebur128(path: Path, start: float = 0.0, end: float = SECONDS) -> float:
    """The integrated loudness that FFmpeg's filter gives."""
    place = ("-ss", str(start), "-t", str(end - start), "-i", str(path))
    done = subprocess.run([FFMPEG, "-nostats", *place, "-af", "ebur128", "-f", "null", "-"], capture_output=True)
    return float(re.findall(r"I:\s+(-[\d.]+) LUFS", done.stderr.decode())[-1])


SOUNDS = {
    "noise": (noise(), RATE),
    "low tone": (tone(60), RATE),
    "high tone": (tone(9000, 0.02), RATE),
    "stereo": (np.stack([noise(1), 0.3 * tone(440)], axis=1), RATE),
    "5.1": (np.stack([(number + 1) * noise(number) / 6 for number in range(6)], axis=1), RATE),
    "half of it loud": (noise() * np.where(np.arange(SECONDS * RATE) % RATE < RATE / 2, 1, 0.01), RATE),
    "44100": (noise(rate=44100), 44100),
    "11025": (noise(rate=11025), 11025),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_is_that_of_ffmpeg(tmp_path, name):
    samples, rate = SOUNDS[name]
    path = file_of(tmp_path / "s.mov", samples, rate=rate)
    for start, end in ((0.0, SECONDS), (1.23, 4.56)):
        assert scores(path, start, end)["loudness"] == pytest.approx(ebur128(path, start, end), abs=0.3)


def test_silence_of_a_known_share(tmp_path):
    loud = np.ones(SECONDS * RATE)
    for begin, end in ((0.337, 1.111), (2.0, 2.5), (4.03, 5.91)):
        loud[round(begin * RATE) : round(end * RATE)] = 0.0005
    path = file_of(tmp_path / "s.mov", noise() * loud)
    assert scores(path)["silence_share"] == pytest.approx((loud < 1).mean(), abs=0.01)
    assert scores(path, 1.0, 4.0)["silence_share"] == pytest.approx((loud[RATE : 4 * RATE] < 1).mean(), abs=0.01)
    assert scores(path, 2.0, 2.5)["silence_share"] == pytest.approx(1, abs=0.02)
    assert scores(file_of(tmp_path / "s.mp4", noise() * loud, "-c:a", "aac"))["silence_share"] == pytest.approx(
        (loud < 1).mean(), abs=0.02
    )


def test_clipping_of_a_known_share(tmp_path):
    for strength in (0.9, 1.2, 1.5, 3.0):
        share = 1 - 2 / np.pi * np.arcsin(min(1, 1 / strength))
        path = file_of(tmp_path / "s.mov", np.clip(tone(220, strength), -1, 1), "-c:a", "pcm_s16le")
        found = scores(path)
        assert found["clipping_share"] == pytest.approx(share, abs=0.02 if strength > 1.2 else 0.03)
        assert found["audio_peak"] == pytest.approx(20 * np.log10(min(1, strength)), abs=0.1)
    half = np.where(np.arange(SECONDS * RATE) < SECONDS * RATE / 2, 1.5, 0.5)
    both = np.stack([tone(220, 0.1), np.clip(half * tone(220, 1), -1, 1)], axis=1)
    path = file_of(tmp_path / "s.mov", both, "-c:a", "pcm_s16le")
    assert scores(path)["clipping_share"] == pytest.approx(0.535 / 2, abs=0.02), "in any channel"
    spikes = tone(220, 0.1)
    spikes[::1000] = 1
    assert scores(file_of(tmp_path / "s.mov", spikes))["clipping_share"] == 0, "single samples are not clipped"


def low_passed(cutoff: float, rate: int = RATE) -> np.ndarray:
    spectrum = np.fft.rfft(noise(rate=rate))
    spectrum[np.fft.rfftfreq(SECONDS * rate, 1 / rate) > cutoff] = 0
    return np.fft.irfft(spectrum)


def test_the_bandwidth_of_noise(tmp_path):
    for cutoff in (3400, 8000, 15500, 24000):
        path = file_of(tmp_path / "s.mov", low_passed(cutoff), "-c:a", "pcm_s16le")
        assert scores(path)["audio_bandwidth"] == pytest.approx(cutoff, abs=250)
    telephone = file_of(tmp_path / "t.mov", noise(rate=8000), rate=8000)
    assert scores(telephone)["audio_bandwidth"] == 4000
    run("-y", "-i", str(telephone), "-ar", "48000", "-c:a", "aac", str(tmp_path / "up.mp4"))
    assert 4000 <= scores(tmp_path / "up.mp4")["audio_bandwidth"] <= 5000, "the upsampler's own slope, but no more"
    assert scores(file_of(tmp_path / "s.mov", tone(1000)))["audio_bandwidth"] == pytest.approx(1000, abs=250)


def test_the_width_of_stereo(tmp_path):
    left, right = noise(1), noise(2)
    for other, width in ((left, 0), (right, 0.5), (-left, 1), (left / 2, 0.1)):
        path = file_of(tmp_path / "s.mov", np.stack([left, other], axis=1))
        assert scores(path)["stereo_width"] == pytest.approx(width, abs=0.01)
    assert scores(file_of(tmp_path / "s.mov", left))["stereo_width"] == 0


def test_silence_has_a_loudness_but_no_width_and_no_bandwidth(tmp_path):
    found = scores(file_of(tmp_path / "s.mov", np.zeros((SECONDS * RATE, 2))))
    values = {"loudness": -70, "audio_peak": -120, "silence_share": 1, "clipping_share": 0}
    assert found == {"clip_id": "c", "has_sound": True, **values} | dict.fromkeys(
        ("audio_bandwidth", "stereo_width", "speech_share")
    )


# --- videos -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    """A video of 5 s without sound."""
    return make(tmp_path_factory.mktemp("picture") / "v.mp4", h264(20))


def with_sound(picture: Path, target: Path, samples: np.ndarray, late: float = 0.0) -> Path:
    sound = file_of(target.with_suffix(".wav"), samples)
    tracks = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "mp2" if target.suffix == ".ts" else "aac")
    run("-y", "-i", str(picture), "-itsoffset", str(late), "-i", str(sound), *tracks, str(target))
    return target


def decode(videos: list[Path], outdir: Path, *extras: str, speech: SileroVad | None = None) -> tuple[list, list]:
    entries = [entry(path, path.stem) for path in videos]
    rows, parts = decode_shard(entries, outdir, SHARD, SETTINGS, 1, 0.0, extras, speech)
    return [{"error_kind": None, **row} for row in rows], parts


def sound_of(outdir: Path, row: dict, parts: list, *spans: tuple[float, float, int, int]) -> list[dict]:
    """Scores of clips of a video: start, end, first frame, end frame."""
    video = HeardVideo.of(tables.SOUND_SIGNALS.read(Paths(outdir).sound_signals(SHARD, row["video_id"])))
    found = []
    for start, end, first, last in spans:
        part = next(part for part in parts if part["start_frame"] <= first < part["end_frame"])
        clip = {"clip_id": "c", "start": start, "end": end, "start_frame": first, "end_frame": last}
        found.append(sound_score(clip, as_of_part(row, part), video))
    return found


def test_sound_that_begins_late_and_ends_early(picture, tmp_path):
    path = with_sound(picture, tmp_path / "v.mp4", noise(seconds=1.5), late=2.0)
    rows, parts = decode([path], tmp_path / "out", SOUND)
    spans = ((0.0, 1.9, 0, 45), (1.0, 3.0, 24, 72), (2.1, 3.4, 50, 80), (3.6, 5.0, 87, 120))
    before, begins, inside, after = sound_of(tmp_path / "out", rows[0], parts, *spans)
    for without in (before, after):
        assert without["has_sound"] is False and all(without.get(name) is None for name in SCORES), "never 0"
    assert begins["silence_share"] == pytest.approx(0.5, abs=0.02) and inside["silence_share"] == 0
    assert inside["loudness"] == pytest.approx(ebur128(path, 2.1, 3.4), abs=0.5)


def test_a_clock_that_begins_anew(picture, tmp_path):
    """Two recordings in one file of MPEG-TS: the same times come twice, and each clip has its own sound."""
    parts = [with_sound(picture, tmp_path / f"{n}.ts", strength * noise(n, 5)) for n, strength in enumerate((1.0, 0.1))]
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(path.read_bytes() for path in parts))
    rows, of_video = decode([whole], tmp_path / "out", SOUND)
    assert "clock" in rows[0]["changes"]
    second = next(part for part in of_video if part["start"] > 4)
    begin, first = second["start"], second["start_frame"]
    spans = ((1.0, 4.0, 24, 96), (begin + 1, begin + 4, first + 24, first + 96))
    loud, quiet = sound_of(tmp_path / "out", rows[0], of_video, *spans)
    assert loud["loudness"] - quiet["loudness"] == pytest.approx(20, abs=0.5)
    assert loud["silence_share"] == quiet["silence_share"] == 0


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@needs_model
def test_nothing_else_depends_on_sound(picture, tmp_path):
    """A video whose sound is asked for is decoded once more. All other files and keys stay the same."""
    loud = with_sound(picture, tmp_path / "loud.mp4", noise(seconds=5))
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(picture.read_bytes())
    out = tmp_path / "out"

    def asked(*extras: str) -> tuple[list, dict[str, bytes], int]:
        rows, _ = decode([loud, silent], out, *extras, speech=SileroVad())
        files = files_in(out)
        journal = next(name for name in files if "journal" in name)
        return rows, {name: data for name, data in files.items() if name != journal}, files[journal].count(b"\n")

    rows, before, written = asked()
    assert not any("/sound/" in name for name in before)
    again, after, more = asked(SOUND)
    assert again == rows and more == written + 2 and {name: after[name] for name in before} == before
    assert len(after) == len(before) + 2
    for extras in ((), (SOUND,)):
        assert asked(*extras)[2] == more, "nothing is decoded again"
    assert asked(SOUND, SPEECH)[2] == more + 2 == asked(SOUND)[2] == asked(SPEECH)[2]
    assert decode_settings({**CONFIG["decode"], SOUND: True}) == (SETTINGS, {SOUND})


def test_splitting_scores_the_sound_of_clips(picture, tmp_path):
    """Where it was measured; else it is known only of videos without sound that there is none."""
    loud = with_sound(picture, tmp_path / "loud.mp4", noise(seconds=5))
    silent = tmp_path / "silent.mp4"
    silent.write_bytes(picture.read_bytes())
    videos, parts = decode([loud, silent], tmp_path / "out", SOUND)

    def split(sound: bool) -> dict[str, list[dict]]:
        settings = SplitSettings(**{**SPLIT_SETTINGS, "min_seconds": 1, "sound": sound})
        found = split_shard(videos, parts, tmp_path / "out", SHARD, settings)
        tables.SOUND.from_rows(found.sound)
        assert [row["clip_id"] for row in found.sound] == [clip["clip_id"] for clip in found.clips]
        return {clip["video_id"]: [] for clip in found.clips} | {
            name: [row for row in found.sound if row["clip_id"].startswith(name)] for name in ("loud", "silent")
        }

    measured, not_measured = split(True), split(False)
    assert len(measured["loud"]) > 1 and len(measured["silent"]) > 1
    for row in measured["loud"]:
        assert row["has_sound"] and row["silence_share"] == 0 and -20 < row["loudness"] < -10
    for row in not_measured["loud"]:
        assert row["has_sound"] is None and "loudness" not in row
    for row in (*measured["silent"], *not_measured["silent"]):
        assert row["has_sound"] is False and all(row.get(name) is None for name in SCORES)


# --- speech -----------------------------------------------------------------------------------------------------------

VOICES = ("en-us", "en-gb", "de", "fr-fr", "es", "it", "pl", "sv", "nl", "pt-br")
SENTENCES = {
    "en": "The quick brown fox jumps over the lazy dog, and nobody in the whole village has ever seen it.",
    "other": "Hamburg, Madrid, Roma, Paris, Amsterdam, Lisboa, Kopenhagen, Warszawa, Stockholm, Barcelona, Milano.",
}


@pytest.fixture(scope="module")
def speaker() -> str:
    """The program espeak-ng."""
    program = shutil.which("espeak-ng")
    if program is None:
        pytest.skip("espeak-ng is not installed")
    return program


def spoken(program: str, folder: Path, voice: str, speed: int, pitch: int) -> Path:
    """A sentence, as a file of its sound."""
    text = SENTENCES["en" if voice.startswith("en") else "other"]
    wav = folder / f"{voice}{speed}.wav"
    subprocess.run([program, "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", str(wav), text], check=True)
    run("-y", "-i", str(wav), "-c:a", "pcm_s16le", str(wav.with_suffix(".mov")))
    return wav.with_suffix(".mov")


def like_music(number: int) -> np.ndarray:
    """Tones: pure ones, chords with harmonics, tunes that rise and fall, and beats."""
    chance = np.random.default_rng(number)
    t = np.arange(SECONDS * RATE) / RATE
    pitch = 110 * 2 ** chance.uniform(0, 3)
    if number % 4 == 0:
        return tone(pitch)
    if number % 4 == 1:
        return sum(0.05 * np.sin(2 * np.pi * pitch * step * t) for step in (1, 1.25, 1.5, 2, 3))
    if number % 4 == 2:
        steps = 2 ** (chance.integers(-5, 7, SECONDS * 4)[(t * 4).astype(int)] / 12)
        return 0.3 * np.sin(2 * np.pi * np.cumsum(pitch * steps) / RATE) * np.exp(-3 * (t * 4 % 1))
    return 0.3 * np.sin(2 * np.pi * pitch * t) * (np.sin(2 * np.pi * chance.uniform(1, 6) * t) > 0)


@needs_model
def test_speech_is_told_from_tones(speaker, tmp_path):
    """Of 40 clips, 20 of speech and 20 of tones, without exception."""
    vad = SileroVad()
    shares: dict[bool, list[float]] = {True: [], False: []}
    for number in range(20):
        path = spoken(speaker, tmp_path, VOICES[number % len(VOICES)], 140 + 3 * number, 30 + 2 * number)
        length = heard(path).hop[-1] / PER_SECOND
        shares[True].append(scores(path, 0, length, vad)["speech_share"])
        path = file_of(tmp_path / "tones.mov", like_music(number))
        shares[False].append(scores(path, speech=vad)["speech_share"])
    assert min(shares[True]) > 0.6 and max(shares[False]) < 0.1, shares


@needs_model
def test_speech_has_its_place_and_its_share(speaker, tmp_path):
    """Silence, then speech: the probabilities are kept at their time, also where the sound begins late."""
    spoken(speaker, tmp_path, "en-us", 150, 50)
    run("-y", "-i", str(tmp_path / "en-us150.wav"), "-ar", str(RATE), "-f", "f32le", str(tmp_path / "s.raw"))
    voice = np.frombuffer((tmp_path / "s.raw").read_bytes(), "<f4")[: 3 * RATE]
    path = file_of(tmp_path / "both.mov", np.concatenate([np.zeros(3 * RATE), voice]))
    vad = SileroVad()
    assert scores(path, 0, 2.8, vad)["speech_share"] == 0
    assert scores(path, 3.2, 5.8, vad)["speech_share"] > 0.9
    assert scores(path, 0, 6, vad)["speech_share"] == pytest.approx(0.5, abs=0.05)
    windows = heard(path, vad).table["speech"].to_pylist()
    assert sum(map(len, windows)) == -(-SECONDS * SPEECH_RATE // SPEECH_WINDOW)


def test_each_window_is_looked_at_once_with_its_own_sound(tmp_path):
    """However the file comes in parts, and after a gap, too. Here the power of a window stands for its speech."""
    seconds, rate, calls = 45, 44100, []

    def loud(windows: np.ndarray, state: Any) -> tuple[np.ndarray, Any]:
        calls.append(state)
        return np.square(windows).mean(axis=1), "heard"

    steps = np.repeat(np.random.default_rng(5).uniform(1, 3, seconds * 4), rate // 4)
    both = np.stack([steps, steps / 2], axis=1) * noise(6, seconds, rate)[:, None]
    gap = ("-af", "aselect='not(between(t,30,32))'", "-c:a", "pcm_f32le")
    whole = resampled(Sound(both.mean(axis=1, keepdims=True).astype(np.float32), rate, "mono"), SPEECH_RATE).samples
    truth, _ = loud(whole[: len(whole) // SPEECH_WINDOW * SPEECH_WINDOW].reshape(-1, SPEECH_WINDOW), None)
    calls.clear()
    found = heard(file_of(tmp_path / "gap.mkv", both, *gap, rate=rate), loud).table
    speech = dict(zip(found["hop"].to_pylist(), found["speech"].to_pylist(), strict=True))
    for number, value in enumerate(truth):
        hop, place = divmod(number * SPEECH_WINDOW, SPEECH_RATE // PER_SECOND)
        if not 29.8 < hop / PER_SECOND < 32.2:
            # The file's times are in milliseconds, so after the gap windows begin some samples earlier or later.
            assert speech[hop][place // SPEECH_WINDOW] == pytest.approx(255 * value, abs=1, rel=0.1), hop
    assert not any(speech.get(hop) for hop in range(302, 319))
    assert calls.count(None) == 2 and len(calls) < 10, "the model forgets what was before a gap, and is asked seldom"


@needs_model
def test_windows_may_come_in_parts():
    """The same windows have the same values, whether they come at once or one after the other."""
    vad = SileroVad()
    windows = np.random.default_rng(4).normal(0, 0.1, (40, SPEECH_WINDOW)).astype(np.float32)
    whole, _ = vad(windows, None)
    state, parts = None, []
    for part in np.split(windows, [1, 2, 17]):
        sure, state = vad(part, state)
        parts.append(sure)
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-5) and len(whole) == 40


@needs_model
def test_the_published_model_is_used_and_no_other(tmp_path, monkeypatch):
    (model,) = check_backend("speech", "silero", SileroVad())["models"]
    assert model["licence"] == "MIT" and model["model"] == SILERO
    (tmp_path / "other.onnx").write_bytes(b"other")
    with pytest.raises(SetupError, match=f"not {PUBLISHED[SILERO].sha256}"):
        SileroVad(str(tmp_path / "other.onnx")).checkpoints()
    monkeypatch.setattr("clipmill.models.speech.FILE", tmp_path / FILE.name)
    with pytest.raises(SetupError, match="the model of Silero VAD is not there; run `make silero`"):
        SileroVad().checkpoints()
