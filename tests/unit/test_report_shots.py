"""The section on shots, from made videos whose cuts are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_report import SPLIT, Finished, bounds, row
from whole import find_transitions, video_clips

from clipmill.decode.reading import read_signals
from clipmill.report import shots
from clipmill.report.detected import TRIED, WhatIf, look, places
from clipmill.split.settings import SplitSettings
from clipmill.split.transitions import Transition
from clipmill.store import tables
from clipmill.store.layout import Paths

pytestmark = pytest.mark.slow

FPS, FRAMES = 12, 300  # 25 s
CONTENT = replace(SPLIT, detector="content")
# Content values at cuts, some of them above one threshold and not above another; two cuts near each other.
CUTS = [
    {60: 60.0, 120: 18.0, 204: 29.0},
    {100: 33.0, 130: 80.0, 250: 22.0},
    {40: 26.0, 90: 38.0, 150: 16.0, 220: 55.0},
    {},
]


def made(
    folder: Path,
    cuts: list[dict[int, float]],
    split: SplitSettings = CONTENT,
    name: str = "{}.mp4",
    frames: int = FRAMES,
) -> Finished:
    """A run of one video per entry of `cuts`."""
    rows = [row(n, bounds(), video_id=f"v{n:02d}", name=name.format(n)) for n in range(len(cuts))]
    run = Finished(folder, bounds(), rows)
    for n, each in enumerate(cuts):
        run.add_shots(f"v{n:02d}", frames, FPS, each, split)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return made(tmp_path_factory.mktemp("shots") / "run", CUTS)


@pytest.fixture(scope="module")
def what_ifs(run: Finished) -> list[WhatIf]:
    return look(run.outdir, CONTENT).what_ifs


def shown(run: Finished, split: SplitSettings = CONTENT) -> str:
    """The section as HTML."""
    return run.report(split=split).read_text(encoding="utf-8").partition('id="shots"')[2].partition("</section>")[0]


def split_directly(run: Finished, settings: SplitSettings) -> tuple[int, float]:
    """Clips that are long enough, and their seconds, as the step `split` finds them."""
    lengths = []
    for video_id, video in run.videos.items():
        signals = read_signals(run.outdir, "000000", video_id)
        clips = video_clips(video, signals, find_transitions(signals, FPS, settings), settings)
        lengths += [clip["seconds"] for clip in clips if not clip["unfit"]]
    return len(lengths), sum(lengths)


@pytest.mark.parametrize(("detector", "setting", "values"), [one for one in TRIED if one[0] != "transnetv2"])
def test_what_if_counts_what_a_run_would_find(run, what_ifs, detector, setting, values):
    (what_if,) = (one for one in what_ifs if one.setting == setting)
    assert (what_if.detector, what_if.own) == (detector, getattr(CONTENT, setting))
    assert list(what_if.amounts) == sorted({*values, what_if.own})
    for value, amount in what_if.amounts.items():
        directly = split_directly(run, replace(SPLIT, detector=detector, **{setting: value}))
        assert (amount.clips, amount.seconds) == (directly[0], pytest.approx(directly[1])), value


def test_the_answers_of_a_large_network_are_read_from_their_table(tmp_path):
    """In a run of `transnetv2` it has a row and a what-if; in others nobody knows what it would find."""
    split = replace(SPLIT, detector="transnetv2")
    run = made(tmp_path / "run", CUTS[-1:])
    single = [0.9 if frame == 99 else 0.3 if frame == 199 else 0.0 for frame in range(FRAMES)]
    path = tables.SHOTS.of(run.outdir, "000000")
    path.parent.mkdir(parents=True)
    tables.SHOTS.write(path, [{"video_id": "v00", "single": single, "many": single}])
    amounts = {one.setting: one.amounts for one in look(run.outdir, split).what_ifs}["transnetv2.threshold"]
    # One more cut, with two guard frames on each side.
    assert amounts[0.4].seconds - amounts[0.2].seconds == pytest.approx(4 / FPS, abs=1e-5)
    assert "<code>transnetv2.threshold</code> <span>the detector of the run</span>" in shown(run, split)
    assert "transnetv2" not in shown(run)


def test_what_if_depends_on_the_threshold(what_ifs):
    amounts = {one.setting: one.amounts for one in what_ifs}["content_threshold"]
    assert amounts[15].clips > amounts[27].clips > amounts[40].clips


def test_the_threshold_of_the_config_is_among_those_that_are_tried(run):
    html = shown(run, replace(CONTENT, content_threshold=28.5))
    assert html.count('class="own"><th scope="row">28.5 <small>config') == 1
    assert "<code>content_threshold</code> <span>the detector of the run</span>" in html
    assert "with <code>detector: adaptive</code>" in html and "≈" not in html


def test_the_transitions_of_the_run_are_those_of_its_table(run):
    """A run with an older detector, or other settings: its table says what it found."""
    (first, *_) = look(run.outdir, replace(CONTENT, content_threshold=1000)).seen
    assert [one.start for one in first.found["content"]] == [60, 204]
    assert first.scenes == [(0, 58, True), (62, 202, True), (206, 300, True)]


def test_transitions_of_detectors_are_one_if_they_overlap():
    def cut(frame):
        return Transition(frame, frame, "cut", 0.5)

    dissolve = Transition(40, 60, "dissolve", 0.9)
    found = {"a": [cut(10), dissolve, cut(90)], "b": [cut(12), cut(50), cut(55), cut(94)], "c": [cut(62)]}
    assert places(found, 3) == [
        {"a": cut(10), "b": cut(12)},
        {"a": dissolve, "b": cut(50)},
        {"b": cut(55)},
        {"c": cut(62)},
        {"a": cut(90)},
        {"b": cut(94)},
    ]


def test_a_time_line_shows_scenes_transitions_and_where_detectors_differ(run):
    section = shots.section(run.outdir, CONTENT)
    lines = {line["name"]: line for line in section["timelines"]}
    line = lines["0.mp4"]
    assert [(mark["look"], mark["start"], mark["path"]) for mark in line["marks"]] == [
        ("cut", 5, "M200.0 0V20"),
        ("cut", 17, "M680.0 0V20"),
    ]
    assert line["bars"]["long"].startswith("M0.0 4H193.3V16H0.0Z") and line["bars"]["short"] == ""
    adaptive = next(other for other in line["rows"] if other["detector"] == "adaptive")
    assert [(mark["look"], mark["start"]) for mark in adaptive["marks"]] == [
        ("same", 5),
        ("extra", 10),
        ("same", 17),
    ]
    assert (adaptive["extra"], adaptive["missing"]) == (1, 0)
    assert lines["3.mp4"]["marks"] == [] and lines["3.mp4"]["scenes"] == 1


def test_a_dissolve_that_another_detector_misses_is_drawn_as_long_as_it_is(tmp_path):
    run = made(tmp_path, [{60: 60.0}])
    dissolve = {"start": 15, "end": 16, "start_frame": 180, "end_frame": 192, "kind": "dissolve", "strength": 0.9}
    run.transitions["v00"].append({"video_id": "v00", **dissolve})
    run.write_tables()
    section = shots.section(run.outdir, CONTENT)
    (line,) = section["timelines"]
    assert line["kinds"] == [("cut", 1), ("dissolve", 1)]
    assert line["marks"][1]["path"] == "M600.0 0H640.0V20H600.0Z"
    adaptive = next(other for other in line["rows"] if other["detector"] == "adaptive")
    assert [mark["look"] for mark in adaptive["marks"]] == ["same", "missing"] and adaptive["missing"] == 1
    side = next(side for side in section["sides"] if side["kind"] == "dissolve")
    spans = [(picture.about["start_frame"], picture.about["end_frame"]) for picture in side["pictures"]]
    assert spans == [(60, 180), (192, 300)] and "adaptive" in side["missed"]


def test_of_a_long_video_the_beginning_is_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr("clipmill.report.timelines.MOST_SECONDS", 10.0)
    (line,) = shots.section(made(tmp_path, CUTS[:1]).outdir, CONTENT)["timelines"]
    assert [mark["path"] for mark in line["marks"]] == ["M500.0 0V20"]
    assert line["bars"]["long"].endswith("H1000.0V16H516.7Z") and (line["shown"], line["total"]) == (10, 25)


def test_the_frames_on_both_sides_are_the_nearest_kept_ones_of_their_shots(run):
    sides = shots.section(run.outdir, CONTENT)["sides"]
    assert len(sides) == sum(map(len, CUTS)), "every transition of any detector, once"
    least_sure, *_ = sides
    assert (least_sure["name"], least_sure["kind"], least_sure["found"][0]) == ("0.mp4", "cut", "content")
    assert least_sure["strength"] == pytest.approx(29 / 255, abs=1e-4)
    for side in sides:
        before, after = (picture.about for picture in side["pictures"])
        assert before["end_frame"] == after["start_frame"] == round(side["start"] * FPS)
        assert all(picture.webp.startswith("data:image/webp;base64,") for picture in side["pictures"])


def test_sides_are_of_different_videos_while_there_are_such(tmp_path, monkeypatch):
    monkeypatch.setattr(shots, "SIDES", 6)
    sides = shots.section(made(tmp_path, CUTS).outdir, CONTENT)["sides"]
    assert {side["name"] for side in sides[:3]} == {"0.mp4", "1.mp4", "2.mp4"}
    assert all("content" in side["found"] for side in sides[:3])
    assert all(side["missed"] for side in sides[3:])


def test_a_shot_without_a_kept_frame_says_so_and_shows_no_other_shot(tmp_path):
    split = replace(CONTENT, min_frames=0)
    sides = shots.section(made(tmp_path, [{61: 60.0, 65: 60.0}], split).outdir, split)["sides"]
    lost = [[picture.lost for picture in side["pictures"]] for side in sorted(sides, key=lambda side: side["start"])]
    assert lost == [[None, "no frame of it was kept"], ["no frame of it was kept", None]]


def test_videos_without_a_transition_have_a_section(tmp_path):
    html = shown(made(tmp_path, [{}, {}]))
    assert "No detector finds a transition." in html and "1 scene. combined finds the same." in html


def test_missing_frames_and_signals_are_said(tmp_path):
    run = made(tmp_path, CUTS)
    paths = Paths(run.outdir)
    for archive in paths.frames("000000", "v").parent.iterdir():
        archive.unlink()
    html = shown(run)
    assert "No picture before: its frames cannot be read (bad_frames)" in html
    paths.signals("000000", "v01").unlink()
    html = shown(run)
    assert "The signals of 1 video are not there any more." in html and "3 of 4 videos" in html
    for signals in paths.signals("000000", "v").parent.iterdir():
        signals.unlink()
    section = shown(run)
    assert "The signals of 4 videos are not there any more." in section and "<svg" not in section


def test_of_many_videos_a_sample_is_looked_at_and_scaled_up(tmp_path):
    run = made(tmp_path, [{10: 60.0}] * 12, frames=30)
    drawn = [{one.video["video_id"] for one in look(run.outdir, CONTENT, most).seen} for most in (1, 100, 200, 10**6)]
    assert [len(each) for each in drawn] == [1, 4, 7, 12], "until there are as many frames"
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]
    section = shots.section(run.outdir, CONTENT, 100)
    assert (section["looked"], section["videos"], section["scale"]) == (4, 12, pytest.approx(3))


def test_a_sample_is_marked(tmp_path, monkeypatch):
    monkeypatch.setattr(shots.section, "__defaults__", (100,))
    html = shown(made(tmp_path, [{10: 60.0}] * 12, frames=30))
    assert "4 of 12 videos, drawn at random with a fixed seed" in html and '<td class="n">≈ ' in html


def test_videos_that_have_gone_or_failed_are_left_out(tmp_path):
    run = made(tmp_path, CUTS)
    Paths(run.outdir).removed.write_text('{"video_id": "v02"}\n')
    run.videos["v03"]["error_kind"] = "not_a_video"
    run.add_shots("v00", FRAMES, FPS, {}, CONTENT)  # writes the tables
    assert [one.video["video_id"] for one in look(run.outdir, CONTENT).seen] == ["v00", "v01"]


def test_names_are_text(tmp_path):
    name = '"><script>alert(1)</script>{{{{ 7*7 }}}} {}.mp4'
    section = shown(made(tmp_path, CUTS[:1], name=name))
    assert "<script" not in section and "&#34;&gt;&lt;script&gt;" in section and "{{ 7*7 }}" in section


def test_the_same_run_gives_the_same_section(run):
    assert run.report(split=CONTENT).read_bytes() == run.report(split=CONTENT).read_bytes()
