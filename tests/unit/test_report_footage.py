"""How much of the footage clips use, from made videos whose scenes are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from made_report import SPLIT, Finished
from test_report_shots import CONTENT, CUTS, FPS, FRAMES, made

from clipmill.report.detected import look
from clipmill.report.footage import RATES, TRIED, Footage, Tried
from clipmill.shapes.rates import file_seconds

# Scenes at 12 frames per second, without two guard frames on each side of a cut.
EXACT = replace(CONTENT, guard_frames=0, pieces="exact", frames=[33, 49, 81], fps=16.0)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return made(tmp_path_factory.mktemp("footage") / "run", CUTS)


@pytest.fixture(scope="module")
def exact(run: Finished) -> Footage:
    return look(run.outdir, EXACT).footage


@pytest.fixture(scope="module")
def tried(run: Finished) -> list[Tried]:
    return look(run.outdir, replace(CONTENT, guard_frames=0)).footage.tried


def scenes(run: Finished) -> list[float]:
    """Seconds of all scenes."""
    lengths = []
    for rows in run.transitions.values():
        edges = [0, *(row["start_frame"] for row in rows), FRAMES]
        lengths += [(end - start) / FPS for start, end in zip(edges[:-1], edges[1:], strict=True)]
    return lengths + [FRAMES / FPS] * (len(run.videos) - len(run.transitions))


def used(seconds: float, counts: list[int], fps: float) -> list[int]:
    """Numbers of frames of the clips of a scene: as many of the greatest as fit, then smaller ones."""
    left, found = round(seconds * FPS), []
    while fitting := [count for count in counts if count / fps <= left / FPS + 1e-3]:
        found.append(max(fitting))
        left -= math.ceil((found[-1] - 1) / fps * FPS - 0.5 - 1e-6) + 1  # up to the frame nearest to the last one
    return found


def section(run: Finished, split=EXACT) -> str:
    html = run.report(split=split).read_text(encoding="utf-8")
    return html.partition('<section id="footage"')[2].partition("</section>")[0]


def test_the_use_of_the_run_is_that_of_its_clips(run, exact):
    found = exact
    clips = [used(seconds, [33, 49, 81], 16) for seconds in scenes(run)]
    seconds = sum(map(sum, clips)) / 16
    assert found.seconds == pytest.approx(len(run.videos) * FRAMES / FPS)
    assert found.use.scenes == pytest.approx(sum(scenes(run)))
    assert (found.use.clips.clips, found.use.clips.seconds) == (sum(map(len, clips)), pytest.approx(seconds))
    short = sum(length for length, fitting in zip(scenes(run), clips, strict=True) if not fitting)
    assert found.use.short.seconds == pytest.approx(short)
    assert found.use.rounded == pytest.approx(sum(scenes(run)) - seconds - short) and found.use.rounded > 0
    assert sum(found.parts().values()) == pytest.approx(found.seconds)


def test_guard_frames_are_in_no_scene(run):
    with_guards = look(run.outdir, replace(EXACT, guard_frames=2)).footage
    cuts = sum(map(len, run.transitions.values()))
    assert with_guards.parts()["transitions and guard frames"] == pytest.approx(cuts * 4 / FPS)


@pytest.mark.parametrize("place", range(len(TRIED) - 1))
@pytest.mark.parametrize("fps", RATES)
def test_what_if_counts_the_clips_of_each_list(run, tried, place, fps):
    counts = TRIED[place]
    (one,) = (one for one in tried if (one.frames, one.fps) == (counts, fps))
    clips = [count for seconds in scenes(run) for count in used(seconds, list(counts), fps)]
    assert (one.use.clips.clips, one.use.clips.seconds) == (len(clips), pytest.approx(sum(clips) / fps)) and not one.own


def test_more_numbers_of_frames_keep_more(exact):
    tried = {one.label: one.use.clips.seconds for one in exact.tried}
    assert list(tried) == ["[81]", "[49, 81]", "[33, 49, 81]", "[121]", "4n+1"]
    assert tried["[81]"] < tried["[49, 81]"] <= tried["[33, 49, 81]"]


def test_the_numbers_of_the_config_are_among_those_that_are_tried(run):
    found = look(run.outdir, replace(EXACT, frames=[17, 65])).footage
    assert [(one.label, one.own) for one in found.tried][:2] == [("[17, 65]", True), ("[81]", False)]
    assert {one.fps for one in found.tried} == {16}
    (own,) = (one for one in found.tried if one.own)
    assert own.use == found.use
    other_pieces = look(run.outdir, replace(EXACT, pieces="equal")).footage
    assert not any(one.own for one in other_pieces.tried), "what if is about exact pieces"


def test_the_page_shows_both(run):
    html = section(run)
    assert html.count('class="own"><th scope="row">[33, 49, 81] <small>config') == 1
    assert "rounded down to numbers of frames" in html and "cut.fps: 16<" in html and "cut.fps: 24<" not in html
    without = section(run, CONTENT)
    assert "rounded down" not in without and "cut.fps: 16<" in without and "cut.fps: 24<" in without
    assert "≈" not in html + without


def test_files_are_as_long_as_their_frames_at_their_rate():
    clip = {"seconds": 5.2, "target_frames": 81}
    assert file_seconds(clip, 16) == 81 / 16
    assert file_seconds(clip, 23.976) == pytest.approx(81 * 1001 / 24000)
    assert file_seconds(clip, None) == file_seconds({**clip, "target_frames": None}, 16) == 5.2


def test_no_video_is_said(tmp_path: Path):
    run = made(tmp_path / "run", CUTS[:1])
    run.videos["v00"]["error_kind"] = "not_a_video"
    run.write_tables()
    assert SPLIT.frames is None and "No video could be looked at." in section(run, SPLIT)
