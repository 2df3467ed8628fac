"""Captions of clips that are heard: which sound a model gets, what is asked of it, and what becomes of the answers."""

from __future__ import annotations

import copy
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cut_sources import run
from films import decoded, grey, standing
from made_chat import FACTS, Chat, captioner

from chat_server import Asked, ChatServer, Reply, refusal, said_to_check
from clipmill.base.errors import ItemError, SetupError
from clipmill.captions.captioner import WITH_SOUND, WITHOUT_SOUND
from clipmill.captions.fields import FIELDS, OF_SOUND
from clipmill.captions.hearing import with_sources
from clipmill.captions.shard import caption_shards
from clipmill.chat.endpoint import Endpoint
from clipmill.chat.sounds import RATE, as_wav, samples_of
from clipmill.checks import QUESTIONS_OF_SOUND, check_backend
from clipmill.config import check_config
from clipmill.decode.sound import Sound, resampled
from clipmill.demo import render
from clipmill.fetch.files import ALL_HERE, LocalFiles
from clipmill.models.backends import settings
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.texts.heard import NONE, heard, said, with_heard
from default_config import CONFIG

SCHEMA = Path(__file__).resolve().parents[2] / "config" / "config.schema.yaml"
PROMPTS = SCHEMA.parent / "prompts"
SHARD, FPS, SECONDS = "000000", 24, 4
SOURCE_RATE = 48000
LEVEL = 0.25  # of the tones, where 1 is the loudest


def pitch(seconds: np.ndarray, of: int) -> np.ndarray:
    """Hz of the tone at these times of video `of`: another one in each second and each video."""
    return 300 + 170 * np.floor(seconds) + 60 * of


def tones(seconds: np.ndarray, of: int) -> np.ndarray:
    """The sound of a video at these times, of ±1."""
    return LEVEL * np.sin(2 * np.pi * pitch(seconds, of) * seconds)


def sound_film(path: Path, of: int, *options: str) -> Path:
    """A grey film with tones; the left channel is upside down, at a fifth of the level."""
    silent = path.with_suffix(".silent.mp4")
    render.encode(silent, standing(grey(40 + 40 * of))((96, 64), SECONDS, FPS), (96, 64), FPS)
    sound = tones(np.arange(SECONDS * SOURCE_RATE) / SOURCE_RATE, of)
    raw = np.stack([-0.2 * sound, 2.2 * sound], axis=1) * 2**15
    path.with_suffix(".raw").write_bytes(np.clip(raw, -32768, 32767).astype("<i2").tobytes())
    heard_from = ("-f", "s16le", "-ar", str(SOURCE_RATE), "-ac", "2", "-i", str(path.with_suffix(".raw")))
    run("-i", str(silent), *heard_from, "-map", "0:v", "-map", "1:a", "-c:v", "copy", *options, str(path))
    return path


class Films:
    """An output folder with decoded films, two with tones and one without sound, and the rows of their clips."""

    def __init__(self, outdir: Path):
        self.outdir, self.clips = outdir, []
        outdir.mkdir()
        films = [
            # The container's clock does not begin at 0.
            sound_film(outdir / "v0.ts", 0, "-c:a", "aac", "-b:a", "256k", "-output_ts_offset", "3"),
            sound_film(outdir / "v1.mov", 1, "-c:a", "pcm_s16le"),
        ]
        silent = outdir / "v2.mp4"
        render.encode(silent, standing(grey(200))((96, 64), SECONDS, FPS), (96, 64), FPS)
        videos, parts = [], []
        for path in (*films, silent):
            name = path.stem
            found = decoded(path, outdir / f"{name}.decoded", video_id=name)
            paths = Paths(outdir)
            for made, place in ((found.paths.frames, paths.frames), (found.paths.signals, paths.signals)):
                place(SHARD, name).parent.mkdir(parents=True, exist_ok=True)
                made.rename(place(SHARD, name))
            videos.append(found.row)
            parts += found.parts
            for start, end in ((0, 48), (30, 66), (60, 96)):
                place_of_clip = {"part": 0, "start": start / FPS, "fps": float(FPS)}
                self.clips.append({**found.clip(start, end), **FACTS, **place_of_clip})
        for table, rows in ((tables.VIDEOS, videos), (tables.PARTS, parts)):
            table.of(outdir, SHARD).parent.mkdir(parents=True, exist_ok=True)
            table.write(table.of(outdir, SHARD), rows)

    def caption(self, backend: Any, files: Any = ALL_HERE) -> dict[str, dict[str, Any]]:
        with with_sources({SHARD: self.clips}, self.outdir, lambda shard: files) as clips:
            return {row["clip_id"]: row for row in caption_shards(backend, clips, self.outdir, 1.0)}


class Fetched(LocalFiles):
    """The films as if they had to be fetched; one of them cannot be."""

    def __init__(self, outdir: Path):
        super().__init__([], outdir, keep=False)
        self.brought: list[str] = []

    def path(self, video: Mapping[str, Any]) -> Path:
        return self._folder / f"fetched-{video['video_id']}.mp4"

    def not_brought(self, video_ids: Iterable[str]) -> dict[str, ItemError]:
        (video_id,) = video_ids
        if video_id == "v1":
            return {video_id: ItemError("not_found", "it is gone")}
        file = self.path({"video_id": video_id})
        if not file.exists():
            self.brought.append(video_id)
            shutil.copy(self._folder / f"{video_id}.ts", file)
        return {}

    def release(self, video_ids: Iterable[str]) -> None:
        for video_id in video_ids:
            self.path({"video_id": video_id}).unlink(missing_ok=True)


@pytest.fixture(scope="module")
def made_films(tmp_path_factory) -> Films:
    return Films(tmp_path_factory.mktemp("heard") / "run")


@pytest.fixture
def films(made_films: Films) -> Iterator[Films]:
    """No caption is finished."""
    yield made_films
    Paths(made_films.outdir).journal("caption", SHARD).unlink(missing_ok=True)


PROMPT = "Say {seconds}. {sound}"
ANSWER = {"caption": "A grey wall.", "speech": 'A man says: "Go."', "music": "None.", "sounds": "a steady tone"}


def answer(asked: Asked) -> str:
    return said_to_check(asked) if asked.prompt in QUESTIONS_OF_SOUND else json.dumps(ANSWER)


def hearing(server: ChatServer, **changes: Any) -> Any:
    own = {"api_key_env": None, "headers": {}, "tries": 1, "backoff_seconds": 0.01, "timeout_seconds": 60}
    model = Endpoint([server.url], "m", None, options={}, **own)
    return captioner(model, **{"prompt": PROMPT, "audio": True, "max_tokens": 512, **changes})


def check_sound(sound: np.ndarray, clip: dict[str, Any]) -> None:
    """It is the sound of this clip: from its first frame to its last one, to the sample."""
    assert abs(len(sound) - clip["seconds"] * RATE) <= 1
    of, begin = int(clip["video_id"][1:]), clip["start"]
    times = begin + np.arange(len(sound)) / RATE
    steady = np.abs(times - np.round(times)) > 0.05  # not where the pitch changes, nor where a codec begins
    off = np.abs(sound - tones(times, of))[steady]
    assert np.sqrt((off**2).mean()) < 0.1 * LEVEL, "a sample too late would be more"
    wrong = np.abs(sound - tones(times, 1 - of))[steady]
    assert np.sqrt((wrong**2).mean()) > 0.5 * LEVEL


# --- the sound of a clip ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "layout"), [(48000, "stereo"), (44100, "mono"), (22050, "5.1"), (16000, "mono")])
def test_resampled_sound_is_as_long_and_not_shifted(rate, layout):
    gains = np.array({"mono": [1], "stereo": [1, -0.5], "5.1": [1, 0.5, -1, 0, 0.2, 0.8]}[layout])
    times = np.arange(round(1.7 * rate)) / rate
    made = resampled(Sound((tones(times, 0)[:, None] * gains).astype(np.float32), rate, layout), RATE)
    assert (made.rate, made.layout, made.samples.dtype) == (RATE, layout, np.float32)
    assert made.samples.shape == (round(1.7 * RATE), len(gains))
    wanted = tones(np.arange(len(made.samples)) / RATE, 0)[:, None] * gains
    inside = slice(200, 15800)
    assert np.abs(made.samples - wanted)[inside].max() < 0.02 * LEVEL


def test_nothing_above_half_of_the_rate_is_heard():
    times = np.arange(SOURCE_RATE) / SOURCE_RATE
    high = Sound((0.5 * np.sin(2 * np.pi * 11000 * times))[:, None].astype(np.float32), SOURCE_RATE, "mono")
    assert np.abs(resampled(high, RATE).samples[200:-200]).max() < 0.005


def test_wav_files_there_and_back():
    levels = np.array([0, 1, -(2**15), 2**15 - 1, 2**16, -(2**16)], np.float32)
    assert (samples_of(as_wav(levels / 2**15)) * 2**15).tolist() == [0, 1, -(2**15), 2**15 - 1, 2**15 - 1, -(2**15)]
    assert samples_of(as_wav(levels[:0])).size == 0


# --- what a model gets, and what is asked of it -----------------------------------------------------------------------


def test_each_clip_is_sent_with_its_own_sound(films):
    with ChatServer(answer) as server:
        rows = films.caption(hearing(server))
    server.check()
    by_level = {}
    for asked in server.asked:
        assert list(asked.body["response_format"]["json_schema"]["schema"]["properties"]) == ["caption", *OF_SOUND]
        kinds = [part["type"] for part in asked.parts]
        begin = ["image_url"] * len(asked.images)
        assert kinds == ([*begin, "text"] if asked.sound is None else [*begin, "input_audio", "text"])
        by_level.setdefault(asked.prompt, []).append(asked)
    heard_ones = [clip for clip in films.clips if clip["video_id"] != "v2"]
    sounds = [asked.sound for asked in server.asked if asked.sound is not None]
    assert len(sounds) == len(heard_ones) == 6 and len(server.asked) == 9
    for clip in heard_ones:
        mine = [sound for sound in sounds if is_of(sound, clip)]
        assert len(mine) == 1, clip["clip_id"]
        check_sound(mine[0], clip)
    for asked in server.asked:
        assert asked.prompt.endswith(WITHOUT_SOUND if asked.sound is None else WITH_SOUND)
    for clip in films.clips:
        has_sound = clip["video_id"] != "v2"
        row = rows[clip["clip_id"]]
        assert row["caption"] == "A grey wall." and row["caption_heard"] is has_sound
        of_sound = {name: row[f"caption_{name}"] for name in OF_SOUND}
        wanted = {"speech": ANSWER["speech"], "music": NONE, "sounds": "a steady tone"}
        assert of_sound == (wanted if has_sound else dict.fromkeys(OF_SOUND, NONE))


def is_of(sound: np.ndarray, clip: dict[str, Any]) -> bool:
    """Whether a sound has the pitch of the middle of a clip in its own middle, and its length."""
    if abs(len(sound) - clip["seconds"] * RATE) > 1:
        return False
    middle = len(sound) // 2 + 1000
    part = sound[middle - 800 : middle + 800]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part)), 16000))
    time = clip["start"] + middle / RATE
    return abs(int(spectrum.argmax()) - pitch(np.array(time), int(clip["video_id"][1:]))) < 12


def test_structured_captions_have_the_fields_of_both(films):
    fields = {name: f"the {name}" for name in (*FIELDS, *OF_SOUND)}
    chat = Chat(lambda request: json.dumps(fields))
    rows = films.caption(captioner(chat, prompt=PROMPT, audio=True, structured=True))
    assert set(chat.task.schema["properties"]) == {*FIELDS, *OF_SOUND} and chat.task.sound
    first = rows[films.clips[0]["clip_id"]]
    assert (first["caption"], first["caption_short"], first["caption_music"]) == ("the dense", "the short", "the music")


def test_a_judge_may_ask_in_the_same_request(films):
    judge = {"prompt": "Answer: {questions}", "questions": [["judge_logo", "A logo?"]]}
    chat = Chat(lambda request: json.dumps({**ANSWER, "judge_logo": "no"}))
    rows = films.caption(captioner(chat, prompt=PROMPT, audio=True, judge=judge))
    assert list(chat.task.schema["properties"]) == ["caption", *OF_SOUND, "judge_logo"]
    assert {(row["caption"], row["judge_logo"]) for row in rows.values()} == {("A grey wall.", "no")}


def test_without_it_nothing_is_read_and_old_captions_stay(films):
    """`about` is what journals' keys are made of."""
    plain = captioner(Chat(lambda request: "A wall."), prompt="Say {seconds}.")
    assert not any("sound" in key or "audio" in key for key in plain.about)
    rows = {row["clip_id"]: row for row in caption_shards(plain, {SHARD: films.clips}, films.outdir, 1.0)}
    assert all(request.sound is None for request in plain.chat.asked)
    assert not any("heard" in key for row in rows.values() for key in row)
    first = captioner(Chat(lambda request: json.dumps(ANSWER)), prompt=PROMPT, audio=True)
    assert first.about["sound"] == [RATE, 1]
    films.caption(first)
    again = captioner(Chat(lambda request: json.dumps(ANSWER)), prompt=PROMPT, audio=True)
    films.caption(again)
    assert len(first.chat.asked) == 9 and again.chat.asked == []


def test_a_video_that_has_gone_costs_its_clips_alone(films):
    path = films.outdir / "v1.mov"
    path.rename(path.with_suffix(".away"))
    try:
        rows = films.caption(captioner(Chat(lambda request: json.dumps(ANSWER)), prompt=PROMPT, audio=True))
    finally:
        path.with_suffix(".away").rename(path)
    failed = {name: row["error_kind"] for name, row in rows.items() if row.get("error_kind")}
    assert failed == {clip["clip_id"]: "vanished" for clip in films.clips if clip["video_id"] == "v1"}
    chat = Chat(lambda request: json.dumps(ANSWER))
    films.caption(captioner(chat, prompt=PROMPT, audio=True))
    assert len(chat.asked) == 3, "they are asked the next time"


def test_the_file_of_a_video_that_is_fetched_is_there_while_its_clips_are_heard(films):
    files, chat = Fetched(films.outdir), Chat(lambda request: json.dumps(ANSWER))
    rows = films.caption(captioner(chat, prompt=PROMPT, audio=True), files)
    assert files.brought == ["v0"], "once for its three clips, and none for the video without sound"
    assert not list(films.outdir.glob("fetched-*"))
    assert sum(request.sound is not None for request in chat.asked) == 3
    failed = {name: row["error_kind"] for name, row in rows.items() if row.get("error_kind")}
    assert failed == {clip["clip_id"]: "not_found" for clip in films.clips if clip["video_id"] == "v1"}


# --- the check before a run -------------------------------------------------------------------------------------------


def test_a_model_that_hears_passes():
    with ChatServer(said_to_check) as server:
        check_backend("caption", "openai", hearing(server))
    server.check()
    sounds = [asked.sound for asked in server.asked if asked.sound is not None]
    assert len(sounds) == 2 and all(len(sound) == 2 * RATE for sound in sounds)


@pytest.mark.parametrize(
    ("deaf", "message"),
    [
        (lambda asked: said_to_check(asked, hears=False), r"does not hear the sound .* three beeps it said 'I see .*'"),
        (
            lambda asked: refusal(400, "no audio here") if asked.sound is not None else said_to_check(asked),
            r"status 400: no audio here; it answers without sound",
        ),
    ],
)
def test_a_deaf_model_is_refused(deaf, message):
    with ChatServer(deaf) as server, pytest.raises(SetupError, match=f"{message}.* caption.audio: false$") as caught:
        check_backend("caption", "openai", hearing(server))
    assert "\n" not in str(caught.value)


def test_a_refusal_in_the_run_costs_the_clips_with_sound(films):
    def refuses(asked: Asked) -> Reply | str:
        return refusal(400, "audio is too long") if asked.sound is not None else json.dumps(ANSWER)

    with ChatServer(refuses) as server:
        rows = films.caption(hearing(server))
    assert [row.get("error_kind") for row in rows.values()] == ["refused"] * 6 + [None] * 3


# --- the config -------------------------------------------------------------------------------------------------------


def test_settings_of_runs_without_sound_stay_as_they_were():
    section = {**CONFIG["caption"], "backend": "transformers"}
    plain, heard_too = (settings("caption", {**section, "audio": audio}, PROMPTS) for audio in (False, True))
    assert "audio" not in plain and heard_too["audio"] is True
    assert "{sound}" in heard_too["prompt"] and "{sound}" not in plain["prompt"]
    fields = settings("caption", {**section, "audio": True, "structured": True}, PROMPTS)
    assert "on_screen_text:" in fields["prompt"] and "{sound}" in fields["prompt"]


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        ({"audio": True}, "caption.audio: `describe` hears nothing; choose a language model"),
        ({"audio": True, "backend": "given"}, "caption.audio: `given` hears nothing"),
        ({"audio": True, "backend": "vllm", "prompt": "caption"}, "caption.prompt: has no {sound}, so"),
        ({"backend": "vllm", "prompt": "caption_sound"}, "caption.prompt: speaks of {sound}, which is not sent; set"),
        ({"audio": "yes"}, "caption.audio: 'yes' is not"),
        ({"audio": True, "backend": "vllm"}, None),
    ],
)
def test_what_the_config_says_of_sound(caption, message):
    config = copy.deepcopy(CONFIG) | {"videos": "videos"}
    config["caption"] |= caption
    if message is None:
        check_config(config, SCHEMA)
    else:
        with pytest.raises(SetupError, match=re.escape(message)):
            check_config(config, SCHEMA)


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "none", "None.", "N/A", "no speech", "There is no music.", "No background music is heard."),
        *("silence", "There is no speech or dialogue in the clip.", "No other sounds are audible."),
    ],
)
def test_words_for_nothing(text):
    assert said(text) == NONE


@pytest.mark.parametrize(
    "text",
    ['A man says: "None."', "No one answers the ringing phone.", "silence, then a bang", "No voices, only wind."],
)
def test_words_for_something(text):
    assert said(f" {text} ") == text


def test_what_is_heard_comes_after_what_is_seen():
    row = {"caption_speech": 'a man says: "Go."', "caption_music": NONE, "caption_sounds": "waves break"}
    assert with_heard("A beach.", row) == 'A beach. A man says: "Go." Waves break.'
    assert heard({}) == heard(dict.fromkeys(row, NONE)) == heard(dict.fromkeys(row)) == ""
    assert with_heard("A beach.", {}) == "A beach."


def test_prompts_ask_for_each_field():
    for name, fields in (("caption_sound", ["caption"]), ("caption_sound_fields", FIELDS)):
        lines = (PROMPTS / f"{name}.txt").read_text().splitlines()
        asked = [line.partition(":")[0] for line in lines if line.partition(":")[0] in {"caption", *FIELDS, *OF_SOUND}]
        assert asked == [*fields, *OF_SOUND]
    assert CONFIG["caption"]["audio"] is False
