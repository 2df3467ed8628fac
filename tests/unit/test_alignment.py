"""Alignment rows of a shard: scores and margins from stored features, what is measured again and what is not."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from alignment_formula import Formula

from checkpoints import make_clip, make_clip_tokenizer, make_videoclip_xl
from clipmill.alignment.clip import ClipAlignment
from clipmill.alignment.shard import OTHERS, align_shard
from clipmill.alignment.videoclip_xl import VideoClipXl
from clipmill.base.errors import SetupError
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.opencv import cv2
from clipmill.decode.frames import ArchiveWriter, FrameArchive
from clipmill.decode.reading import FrameChoice
from clipmill.scores import Backend
from clipmill.store import tables
from clipmill.store.layout import Paths

pytestmark = pytest.mark.torch

SHARD = "000000"
COLUMNS = {"clip_id", "alignment", "alignment_margin", "error_kind", "error"}
TEXTS = ["A red car on a road.", "Two dogs run into the sea.", "The sun goes down over a city and the lights go on."]


def make_clips(outdir: Path, texts: list[str], samples: int = 9) -> list[dict]:
    """A video for each text with one clip: coarse noise of its own that moves, as decoding would have left it."""
    clips = []
    for number, text in enumerate(texts):
        video = f"video{number}"
        noise = np.random.default_rng(number).integers(0, 256, (6, 16, 3), np.uint8)
        picture = cv2.resize(noise, (160, 45), interpolation=cv2.INTER_CUBIC)
        path = Paths(outdir).frames(SHARD, video)
        path.parent.mkdir(parents=True, exist_ok=True)
        archive = ArchiveWriter(path, 95)
        for sample in range(samples):
            archive.add(sample, picture[:, 8 * sample : 8 * sample + 80])
        archive.close(video)
        rows = [{"frame": 12 * sample, "time": sample / 2, "sample": sample} for sample in range(samples)]
        tables.SIGNALS.write(outdir / "work" / "signals" / SHARD / f"{video}.parquet", rows)
        clips.append(
            {"clip_id": f"{video}_0", "video_id": video, "source_key": video, "start_frame": 0,
             "end_frame": 12 * samples, "seconds": samples / 2, "text": text}
        )  # fmt: skip
    return clips


class Spy(Backend):
    """A clip's feature points along its video's number, a text's along those of the words it holds."""

    choice = FrameChoice(count=2)
    batch = 2

    def __init__(self, version: int = 1, dimensions: int = 3):
        self.about, self.dimensions = {"backend": "spy", "version": version}, dimensions
        self.clips: list[int] = []
        self.texts: list[list[int]] = []

    def prepare(self, frames):
        return [len(list(frames))]

    def measure(self, units):
        assert set(units) == {2} and len(units) <= 2
        numbers = [len(self.clips) + n for n in range(len(units))]
        self.clips += numbers
        return [np.eye(self.dimensions, dtype=np.float32)[number] for number in numbers]

    def finish(self, values):
        return {"feature": values[0]}

    def pieces(self, text):
        return [[int(word)] for word in text.split()]

    def measure_texts(self, pieces):
        self.texts += pieces
        return [np.eye(self.dimensions, dtype=np.float32)[piece[0]] for piece in pieces]


def align(backend, clips: list[dict], outdir: Path, rate: float = 1.0, threads: int = 1) -> dict[str, dict]:
    rows = align_shard(backend, clips, outdir, SHARD, rate, threads)
    assert [row["clip_id"] for row in rows] == [clip["clip_id"] for clip in clips]
    assert {name for row in rows for name in row} <= COLUMNS
    return {row.pop("clip_id"): row for row in rows}


def test_scores_and_margins_by_hand(tmp_path):
    """Clips 0, 1, 2 along the axes x, y, z; texts along x, along x + y, along z."""
    rows = align(Spy(), make_clips(tmp_path, ["0", "0 1", "2"]), tmp_path)
    half = 0.5**0.5
    assert rows == {
        "video0_0": {"alignment": pytest.approx(1.0), "alignment_margin": pytest.approx(1 - (half + 0) / 2)},
        "video1_0": {"alignment": pytest.approx(half), "alignment_margin": pytest.approx(half - (0 + 0) / 2)},
        "video2_0": {"alignment": pytest.approx(1.0), "alignment_margin": pytest.approx(1 - (0 + 0) / 2)},
    }


def test_a_text_that_fits_another_clip_better_has_a_margin_below_zero(tmp_path):
    rows = align(Spy(), make_clips(tmp_path, ["1", "0", "2"]), tmp_path)
    assert [row["alignment_margin"] for row in rows.values()] == pytest.approx([-0.5, -0.5, 1.0])


def test_without_another_text_there_is_no_margin(tmp_path):
    assert align(Spy(), make_clips(tmp_path, ["0", "0"]), tmp_path) == {
        "video0_0": {"alignment": 1.0},
        "video1_0": {"alignment": 0.0},
    }
    assert align(Spy(), [], tmp_path) == {}


def test_margins_of_many_clips_are_drawn_by_their_identity(tmp_path):
    """Each clip meets OTHERS texts, its own never; which ones depends on nothing but the clips' texts."""
    count = 40
    clips = make_clips(tmp_path, [str(number) for number in range(count)], samples=2)
    rows = align(Spy(dimensions=count), clips, tmp_path)
    assert {row["alignment_margin"] for row in rows.values()} == {1.0}
    again = [{**clip, "text": str((number + 1) % count)} for number, clip in enumerate(clips)]
    met = sum(row["alignment_margin"] < 0 for row in align(Spy(dimensions=count), again, tmp_path).values())
    assert 8 <= met <= 24  # the fitting text was among those drawn for OTHERS of 39
    assert OTHERS == 16
    backwards = align(Spy(dimensions=count), again[::-1], tmp_path)
    assert backwards == align(Spy(dimensions=count), again, tmp_path)


def test_nothing_is_measured_twice(tmp_path):
    clips = make_clips(tmp_path, ["0", "0 1", "2"])
    first = align(spy := Spy(), clips, tmp_path)
    assert (spy.clips, spy.texts) == ([0, 1, 2], [[0], [0], [1], [2]])
    assert align(spy := Spy(), clips, tmp_path) == first
    assert (spy.clips, spy.texts) == ([], [])
    clips[0]["text"] = "1"
    changed = align(spy := Spy(), clips, tmp_path)
    assert (spy.clips, spy.texts) == ([], [[1]])
    assert changed["video0_0"]["alignment"] == 0.0
    assert changed["video1_0"]["alignment"] == first["video1_0"]["alignment"]
    align(spy := Spy(version=2), clips, tmp_path)
    assert (len(spy.clips), len(spy.texts)) == (3, 4)


def test_texts_are_cleaned_and_what_is_finished_of_clean_ones_stays(tmp_path):
    """The journal of an older version, which cleaned no text, holds the features of texts as they were."""
    clips = make_clips(tmp_path, ["０", "0 &nbsp; 1", "2"])
    older = {"０": "2", "2": "2"}  # of the first text a feature along another axis
    with Journal(Paths(tmp_path).journal("alignment_texts", SHARD)) as journal:
        key = fingerprint(Spy().about)
        for text, axis in older.items():
            feature = np.eye(3, dtype=np.float32)[int(axis)]
            journal.add([(fingerprint(text), key, base64.b64encode(feature.tobytes()).decode())])
    rows = align(spy := Spy(), clips, tmp_path)
    assert spy.texts == [[0], [0], [1]], "that of the clean text is not measured again"
    assert [row["alignment"] for row in rows.values()] == pytest.approx([1.0, 0.5**0.5, 1.0])


def test_lost_frames_cost_their_clip_its_score(tmp_path):
    clips = make_clips(tmp_path, ["0", "1", "2"])
    path = Paths(tmp_path).frames(SHARD, "video0")
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    rows = align(Spy(), clips, tmp_path)
    assert (rows["video0_0"]["error_kind"], set(rows["video0_0"])) == ("bad_frames", {"error_kind", "error"})
    assert rows["video1_0"] == {"alignment": 0.0, "alignment_margin": -0.5}  # fits the text of the lost one
    path.write_bytes(content)
    assert set(align(Spy(), clips, tmp_path)["video0_0"]) == {"alignment", "alignment_margin"}


def test_numbers_that_overflow_are_never_scores(tmp_path):
    class Broken(Spy):
        def finish(self, values):
            return {"feature": values[0] * (np.nan if values[0][0] else 1)}

    clips = make_clips(tmp_path, ["0", "1", "2"])
    rows = align(Broken(), clips, tmp_path)
    assert [row.get("error_kind") for row in rows.values()] == ["not_finite", None, None]

    class BrokenText(Spy):
        def measure_texts(self, pieces):
            return [feature * np.inf for feature in super().measure_texts(pieces)]

    with np.errstate(invalid="ignore"), pytest.raises(SetupError, match="the text `0` is not finite; set"):
        align(BrokenText(version=2), clips, tmp_path)


# --- with models ------------------------------------------------------------------------------------------------------


def fitted(folder: Path, clips: list[dict], outdir: Path) -> VideoClipXl:
    """VideoCLIP-XL with random towers whose last matrix turns each clip's text towards what is special in the clip."""
    weights = make_videoclip_xl(folder)
    tokenizer = make_clip_tokenizer(folder / "tokenizer")
    backend = VideoClipXl(str(weights), None, str(tokenizer), None, None, "fp32")
    tensors = torch.load(weights, weights_only=True)
    formula = Formula(tensors)
    states = torch.stack([formula.text_state(backend.pieces(clip["text"])[0]) for clip in clips])
    units = [backend.prepare([_frame(outdir, clip, n) for n in range(8)])[0] for clip in clips]
    videos = torch.from_numpy(np.array(backend.measure(units))).double()
    tensors["model.text_projection"] = (torch.linalg.pinv(states) @ (videos - videos.mean(dim=0))).float()
    torch.save(tensors, weights)
    return VideoClipXl(str(weights), None, str(tokenizer), None, None, "fp32")


def _frame(outdir: Path, clip: dict, sample: int) -> np.ndarray:
    with FrameArchive(Paths(outdir).frames(SHARD, clip["video_id"])) as archive:
        return archive.read(sample)


def test_swapped_captions_score_lower(tmp_path, one_thread):
    clips = make_clips(tmp_path, TEXTS)
    backend = fitted(tmp_path / "model", clips, tmp_path)
    right = align(backend, clips, tmp_path, threads=2)
    for shift in (1, 2):
        swapped = [{**clip, "text": TEXTS[(number + shift) % 3]} for number, clip in enumerate(clips)]
        wrong = align(backend, swapped, tmp_path)
        for clip_id, row in right.items():
            assert row["alignment"] > wrong[clip_id]["alignment"] + 0.005
            assert row["alignment_margin"] > max(0, wrong[clip_id]["alignment_margin"]) + 0.005


def test_a_shard_is_scored_as_the_formula_says(tmp_path, one_thread):
    clips = make_clips(tmp_path, [TEXTS[0], TEXTS[1] + " the dog" * 300], samples=8)
    weights = make_videoclip_xl(tmp_path / "model")
    tokenizer = make_clip_tokenizer(tmp_path / "tokenizer")
    backend = VideoClipXl(str(weights), None, str(tokenizer), None, None, "fp32")
    backend.batch = 2
    rows = align(backend, clips, tmp_path, threads=3)
    formula = Formula(torch.load(weights, weights_only=True))
    videos = [formula.video([_frame(tmp_path, clip, sample) for sample in range(8)]) for clip in clips]
    texts = [formula.text(backend.pieces(clip["text"])[0]) for clip in clips]
    for own, other in ((0, 1), (1, 0)):
        cosine = videos[own] @ texts[own]
        margin = cosine - videos[own] @ texts[other]
        assert rows[clips[own]["clip_id"]] == {
            "alignment": pytest.approx(cosine, abs=2e-6),
            "alignment_margin": pytest.approx(margin, abs=2e-6),
        }


def test_clip_scores_a_shard(tmp_path, one_thread):
    """The text's feature is the mean direction of its sentences', the clip's that of its frames'."""
    long = " ".join(f"In scene {n} the red car and the dog are in the road." for n in range(4))
    clips = make_clips(tmp_path, [long, "the car"], samples=3)
    folder = make_clip(tmp_path / "model")
    backend = ClipAlignment(str(folder), None, "fp32")
    rows = align(backend, clips, tmp_path)
    frames = backend.measure(backend.prepare([_frame(tmp_path, clips[0], sample) for sample in range(3)]))
    pieces = backend.pieces(long)
    assert (len(frames), len(pieces)) == (3, 4)
    video, text = (np.mean(features, axis=0) for features in (frames, backend.measure_texts(pieces)))
    cosine = video @ text / np.linalg.norm(video) / np.linalg.norm(text)
    assert rows["video0_0"]["alignment"] == pytest.approx(cosine, abs=2e-6)
    by_other_batches = ClipAlignment(str(folder), None, "fp32")
    by_other_batches.batch = 2
    again = align(by_other_batches, [{**clip, "source_key": "new"} for clip in clips], tmp_path, threads=2)
    assert again["video0_0"]["alignment"] == pytest.approx(rows["video0_0"]["alignment"], abs=2e-6)
