"""Videos that change midway: each part is a video of its own, in scenes, facts and clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from films import SETTINGS, decoded, entry
from midway_films import FILMS, PLAIN, is_upright, joined, number_of, pictures_of, roundness

from clipmill.cut.shard import cut_shard
from clipmill.decode.pictures import rotation_of, turn_of
from clipmill.decode.reading import FrameChoice, KeptFrames
from clipmill.decode.shard import decode_shard
from clipmill.split.settings import SplitSettings
from clipmill.split.shard import split_shard
from clipmill.store.layout import Paths
from clipmill.store.tables import by_video
from default_config import CUT_SETTINGS, SPLIT_SETTINGS

SHARD = "000000"
pytestmark = pytest.mark.slow


class Made:
    """The films decoded, split and cut."""

    def __init__(self, outdir: Path, paths: list[Path]):
        self.outdir = outdir
        videos = [entry(path, path.name) for path in paths]
        rows, parts = decode_shard(videos, outdir, SHARD, SETTINGS, 2, 1.0)
        self.videos: dict[str, Any] = {row["video_id"]: {"error_kind": None, **row} for row in rows}
        self.parts = by_video(parts)
        settings = SplitSettings(**{**SPLIT_SETTINGS, "min_seconds": 0.5})
        split = split_shard(self.videos.values(), parts, outdir, SHARD, settings)
        self.transitions = split.transitions
        self.clips = [clip for clip in split.clips if clip["unfit"] is None]
        cut_settings = {**CUT_SETTINGS, "min_seconds": 0.5}
        cuts = cut_shard(self.clips, self.videos, self.parts, outdir, SHARD, cut_settings, 2, 1.0)
        self.cuts = {cut["clip_id"]: cut for cut in cuts}

    def clips_of(self, name: str) -> list[Any]:
        return [clip for clip in self.clips if clip["video_id"] == name]

    def pictures(self, clip: Any) -> list[np.ndarray]:
        return pictures_of(Paths(self.outdir).clip_files / self.cuts[clip["clip_id"]]["file"])


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    folder = tmp_path_factory.mktemp("midway")
    return Made(folder / "out", [joined(folder / name, pieces) for name, (pieces, _) in FILMS.items()])


@pytest.mark.parametrize("name", FILMS)
def test_each_piece_is_a_part_with_its_own_facts(made, name):
    pieces, change = FILMS[name]
    video, parts = made.videos[name], made.parts[name]
    assert not video.get("error")
    first = np.cumsum([0, *(piece.count for piece in pieces)]).tolist()
    assert [(part["start_frame"], part["end_frame"]) for part in parts] == list(zip(first, first[1:], strict=False))
    # The film that is there: no hour in which nothing was shown.
    assert video["seconds"] == pytest.approx(sum(piece.seconds for piece in pieces), abs=0.05)
    assert change in video["changes"]
    for piece, part in zip(pieces, parts, strict=True):
        assert part["fps"] == pytest.approx(piece.rate, rel=0.02)
        assert part["width"] / part["height"] == pytest.approx(piece.shown[0] / piece.shown[1], rel=0.01)
        assert part["pixel_format"] == piece.pixels and part["bit_depth"] == (10 if "10" in piece.pixels else 8)
        assert part["end"] - part["start"] == pytest.approx(piece.seconds, abs=0.05)


@pytest.mark.parametrize("name", FILMS)
def test_a_change_is_a_border_of_scenes(made, name):
    pieces, _ = FILMS[name]
    borders = [part["start_frame"] for part in made.parts[name][1:]]
    found = [one for one in made.transitions if one["video_id"] == name]
    assert [(one["start_frame"], one["end_frame"], one["kind"]) for one in found] == [
        (at, at, "change") for at in borders
    ]
    spans = [(clip["part"], clip["start_frame"], clip["end_frame"]) for clip in made.clips_of(name)]
    assert spans == [(n, part["start_frame"], part["end_frame"]) for n, part in enumerate(made.parts[name])]


@pytest.mark.parametrize("name", FILMS)
def test_clips_show_their_frames_in_one_size_upright_and_round(made, name):
    pieces, _ = FILMS[name]
    for piece, clip in zip(pieces, made.clips_of(name), strict=True):
        cut = made.cuts[clip["clip_id"]]
        assert not cut.get("error")
        pictures = made.pictures(clip)
        assert [number_of(picture) for picture in pictures] == list(range(clip["start_frame"], clip["end_frame"]))
        even = tuple(side // 2 * 2 for side in (clip["width"], clip["height"]))
        assert {picture.shape[1::-1] for picture in pictures} == {even} == {(cut["cut_width"], cut["cut_height"])}
        assert cut["cut_fps"] == pytest.approx(piece.rate, rel=0.01)
        for picture in pictures[::20]:
            assert is_upright(picture)
            assert roundness(picture) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("name", FILMS)
def test_kept_frames_have_the_shape_of_their_part(made, name):
    with KeptFrames(made.outdir, SHARD) as kept:
        for clip in made.clips_of(name):
            for picture in kept.frames(clip, FrameChoice()):
                assert picture.shape[1::-1] == (clip["width"], clip["height"])
                assert roundness(picture[..., ::-1]) == pytest.approx(1, abs=0.05)
                assert is_upright(picture[..., ::-1])
                assert clip["start_frame"] <= number_of(picture) < clip["end_frame"]


@pytest.mark.parametrize("name", ["wider.ts", "wider_mpeg2.ts", "faster.ts", "turned.ts"])
def test_parts_are_the_same_with_any_number_of_threads(made, tmp_path, name):
    """Decoders with threads are ahead of the frames that come out."""
    source = Path(made.videos[name]["path"])
    for threads in (1, 5):
        assert decoded(source, tmp_path / str(threads), threads=threads, video_id=name).parts == made.parts[name]


def test_one_wrong_time_stamp_is_no_leap(tmp_path):
    """Neither is a recording that begins late, nor one at a low rate."""
    slow = joined(tmp_path / "slow.ts", [replace(PLAIN, count=12, rate=1)])
    late = joined(tmp_path / "late.ts", [replace(PLAIN, count=20, start=5000)])
    made = Made(tmp_path / "out", [slow, late])
    for name, count in (("slow.ts", 12), ("late.ts", 20)):
        assert made.videos[name]["changes"] is None and len(made.parts[name]) == 1
        assert made.videos[name]["frames"] == count


@pytest.mark.parametrize("turn", [(a, b, c) for a in (False, True) for b in (False, True) for c in (False, True)])
def test_a_turn_is_its_rotation_and_whether_it_is_mirrored(turn):
    assert turn_of(*rotation_of(turn)) == turn
