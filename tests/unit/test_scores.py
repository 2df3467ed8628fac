"""Scores of frames, against pictures of known content."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rapidocr
from films import SIZE, panned
from lettering import lettered

from clipmill.base.opencv import cv2
from clipmill.decode.reading import FrameChoice
from clipmill.demo import render
from clipmill.scores import FrameScore
from clipmill.scores.aesthetic import classic
from clipmill.scores.consistency import histogram
from clipmill.scores.text import strokes
from clipmill.scores.text.boxes import polygons_area
from clipmill.scores.text.rapidocr import BLUR, UNCLIP_RATIO, RapidOcr, lines_of_map

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"
LINES = ["Four score and seven years ago", "our fathers brought forth", "on this continent, a new nation,"]
PHOTOGRAPHS = ("coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png", "gravel.png", "motorcycle_left.png")
LANDSCAPE = (910, 512)


def photograph(name: str, size=(640, 360)) -> np.ndarray:
    return render.cover(render.photograph(name), size)


def row(backend: FrameScore, *frames: np.ndarray) -> dict[str, Any]:
    """What a backend says of a clip of these frames."""
    return backend.finish(backend.measure(backend.prepare(frames)))


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def ocr():
    return RapidOcr(1)


def area(ocr: RapidOcr, picture: np.ndarray) -> float:
    return row(ocr, picture)["text_area"]


@pytest.mark.parametrize("size", [(640, 360), LANDSCAPE, (512, 910)])
@pytest.mark.parametrize("lines", [1, 3])
def test_text_area_of_pages(ocr, size, lines):
    page, ink = render.text_page(LINES[:lines], size)
    assert area(ocr, page) == pytest.approx(ink, rel=0.15)


@pytest.mark.parametrize("name", ["coffee.png", "rocket.jpg", "chelsea.png"])
def test_text_area_of_subtitles(ocr, name):
    """Their rim of two pixels may count."""
    text = "Ten seconds to go. Is everyone ready?"
    frames, ink = render.subtitle([photograph(name, LANDSCAPE)], text, LANDSCAPE)
    found = area(ocr, next(frames))
    assert found == pytest.approx(np.clip(found, ink, 1.13 * ink), rel=0.1)


def kept(picture: np.ndarray) -> np.ndarray:
    """A picture of 720 lines as decoding keeps it."""
    return cv2.resize(picture, LANDSCAPE, interpolation=cv2.INTER_AREA)


STYLES = [(14, {"rim": 1}), (16, {"rim": 1, "angle": 5}), (20, {"drawn": True, "rim": 1}), (36, {}), (72, {"rim": 2})]


def test_text_area_is_tight_from_14_pixels_of_720_lines_on(ocr):
    """Printed and drawn, level and a little turned, with a rim (which may count) and without, over photographs."""
    ratios = []
    for name, (size, style) in itertools.product(["coffee.png", "astronaut.png", "motorcycle_left.png"], STYLES):
        lines = ["Ten seconds to go"] if size > 50 else ["Ten seconds to go. Is everyone ready?", "The quick brown fox"]
        page, ink = lettered(photograph(name, (1280, 720)), lines, size, (120, 420), **style)
        rimmed = ink * (1 + 2 * style.get("rim", 0) / (0.7 * size))
        found = area(ocr, kept(page))
        ratios.append(found / np.clip(found, ink, rimmed))
    assert np.median(ratios) == pytest.approx(1, abs=0.05)
    assert np.mean(np.abs(np.log(ratios)) < np.log(1.15)) >= 0.85
    assert min(ratios) > 1 / 1.25 and max(ratios) < 1.25


@pytest.mark.parametrize("turn", [0, 7, 90])
@pytest.mark.parametrize(("across", "down"), [(120, 9), (200.5, 13.5), (300, 30)])
def test_boxes_of_a_map_are_those_of_the_lines(across, down, turn):
    """A line in the map, not rounded to whole pixels, in a frame that is twice as wide as the map."""
    corners = cv2.boxPoints(((200.3, 180.6), (across, down), turn))
    fine = cv2.fillPoly(np.zeros((360 * 8, 400 * 8), np.float32), [np.rint(corners * 8).astype(np.int32)], 1)
    probable = cv2.resize(fine, (400, 360), interpolation=cv2.INTER_AREA)
    (box,), (score,) = lines_of_map(probable, (360, 800))
    wider = 2 * (UNCLIP_RATIO * across * down / (2 * (across + down)) - BLUR)
    wanted = cv2.boxPoints(((200.3, 180.6), (across + wider, down + wider), turn))
    assert box.mean(axis=0) == pytest.approx(wanted.mean(axis=0) * (2, 1), abs=1)
    # A turned line's outline runs in steps.
    assert cv2.contourArea(box) == pytest.approx(2 * (across + wider) * (down + wider), rel=0.25 if turn == 7 else 0.15)
    assert box[0] @ (1, 1) == min(box @ (1, 1))  # from the top left
    assert cv2.contourArea(box, oriented=True) > 0  # clockwise on a screen
    assert score > 0.85


def test_faint_and_small_places_of_a_map_are_no_lines():
    probable = np.zeros((64, 96), np.float32)
    probable[10:20, 10:80] = 0.32
    probable[30:33, 10:80] = 1
    boxes, scores = lines_of_map(probable, (64, 96))
    assert boxes.shape == (0, 4, 2) and scores.shape == (0,)
    _, scores = lines_of_map(probable, (64, 96), least=0.3, faint=0.3)
    assert scores == pytest.approx([0.32])


@pytest.mark.parametrize(
    ("text", "read", "score", "size", "counts"),
    [
        ("Capter 12 Oceps", 0.49, 0.6, (200, 20), True),  # many letters, not all of them well
        ("Capter 12 Oceps", 0.49, 0.4, (200, 20), True),
        ("Capter 12 Oceps", 0.49, 0.4, (50, 20), False),  # too faint for so short a box: it is not read
        ("Ca", 0.8, 0.6, (50, 20), True),
        ("Ca", 0.8, 0.4, (200, 20), False),
        ("Cap", 0.6, 0.6, (50, 20), False),
        ("C", 1.0, 0.6, (50, 20), False),
        ("(0)", 0.9, 0.6, (50, 20), False),  # as any round thing, and a row of them
        ("00000000", 0.9, 0.6, (200, 20), False),
        ("", 0.0, 0.9, (200, 20), True),  # surely a line: it is not read
        ("", 0.0, 0.9, (400, 200), False),
    ],
)
def test_what_may_be_no_line_must_be_read(monkeypatch, text, read, score, size, counts):
    found = np.array([[(0, 0), (size[0], 0), size, (0, size[1])]], np.float32)

    class Engine:
        def crop_text_regions(self, frame, boxes):
            return list(boxes)

        def recognize_txt(self, crops):
            return SimpleNamespace(txts=[text] * len(crops), scores=[read] * len(crops))

    detector = RapidOcr(1)
    monkeypatch.setattr(detector, "_engine", Engine)
    assert detector._is_text(render.flat(LANDSCAPE), found, np.array([score])) == [counts]


@pytest.mark.parametrize("size", [LANDSCAPE, (1223, 512)])
def test_pictures_are_prepared_as_rapidocr_does(ocr, monkeypatch, size):
    """Bit for bit."""
    detector, picture, seen = ocr._engine().text_det, photograph("coffee.png", size), []
    monkeypatch.setattr(detector, "session", lambda numbers: seen.append(numbers) or numbers[:, :1])
    ocr._map(picture)
    np.testing.assert_array_equal(seen, [detector.get_preprocess()(picture)])


def test_scores_belong_to_their_boxes():
    probable = np.zeros((96, 96), np.float32)
    for level, top in ((0.9, 10), (0.5, 40), (0.7, 70)):
        probable[top : top + 10, 10:80] = level
    boxes, scores = lines_of_map(probable, (96, 96))
    order = np.argsort(boxes.mean(axis=1)[:, 1])
    assert scores[order] == pytest.approx([0.9, 0.5, 0.7])


@pytest.mark.parametrize("size", [14, 16])
@pytest.mark.parametrize("angle", [0, 15])
def test_small_lines_that_run_together_are_parted(ocr, size, angle):
    """Close lines on a plate, one shorter: in the map of the frame they are one line."""
    style = {"angle": angle, "ink": 80, "gap": 1.15, "plate": True}
    page, wanted = lettered(
        photograph("coffee.png", LANDSCAPE), ["STOP", "Ten seconds to go. Is everyone"], size, **style
    )
    assert area(ocr, page) == pytest.approx(wanted, rel=0.15)


def test_small_lines_over_textures_are_looked_at_closer(ocr, monkeypatch):
    """They leave no trace that is a line, but look like lines of strokes."""
    lines = ["some more waves on a sea", "Not now, Jeremy!"]
    page, wanted = lettered(photograph("grass.png", LANDSCAPE), lines, 11, (200, 150), ink=130, plate=True)
    assert area(ocr, page) == pytest.approx(wanted, rel=0.15)
    monkeypatch.setattr(strokes, "lines", lambda frame, likely: np.empty((0, 4, 2), np.float32))
    assert area(ocr, page) == 0


@pytest.mark.parametrize(
    "name", ["coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png", "gravel.png", "grass.png", "phantom.png"]
)
def test_photographs_have_no_text(ocr, name):
    assert area(ocr, photograph(name)) == 0


def test_a_name_on_a_motorcycle_is_text(ocr):
    """That of its maker, on the tank."""
    found = ocr.prepare([photograph("motorcycle_left.png")])[0].boxes
    assert len(found) == 1
    assert found.mean(axis=(0, 1)) == pytest.approx((366, 138), abs=5)


def test_plain_pictures_have_no_text(ocr):
    assert area(ocr, render.flat(LANDSCAPE)) == 0
    assert area(ocr, render.gradient(LANDSCAPE)) == 0
    assert area(ocr, next(render.noise("n", LANDSCAPE, 1, 1))) == 0


@pytest.mark.parametrize("angle", [15, 30])
def test_turned_text_counts_as_it_stands(ocr, angle):
    """Boxes upright around it would be two to four times as large."""
    page, _ = render.text_page(["A line of text that is turned"], (640, 640))
    page = cv2.resize(page[240:400], None, fx=0.8, fy=0.8)
    wide = cv2.copyMakeBorder(page, 256, 256, 64, 64, cv2.BORDER_REPLICATE)
    turn = cv2.getRotationMatrix2D((wide.shape[1] / 2, wide.shape[0] / 2), angle, 1)
    turned = cv2.warpAffine(wide, turn, wide.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    assert area(ocr, turned) == pytest.approx(area(ocr, wide), rel=0.2)


def test_threads_share_an_engine_that_is_loaded_once(ocr, monkeypatch):
    """For tall letters it also loads its reader."""
    made, load, threads = [], rapidocr.RapidOCR, 4
    monkeypatch.setattr(rapidocr, "RapidOCR", lambda **options: made.append(load(**options)) or made[-1])
    tall = cv2.putText(render.flat(LANDSCAPE), "STOP", (40, 380), cv2.FONT_HERSHEY_SIMPLEX, 10, (255, 255, 255), 30)
    pages = [render.text_page(LINES[:1], LANDSCAPE)[0], tall, photograph("coffee.png", LANDSCAPE), tall]
    shared, together = RapidOcr(1), threading.Barrier(threads)
    assert made == []  # a finished shard loads none

    def measured(page: np.ndarray) -> bytes:
        together.wait(timeout=60)
        return shared.prepare([page])[0].boxes.tobytes()

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(measured, pages * 3))
    (engine,) = made
    assert engine.text_rec is not None and engine.text_cls is None
    assert found == [ocr.prepare([page])[0].boxes.tobytes() for page in pages] * 3
    assert len(set(found)) == 3


def test_small_numbers_slow_no_thread_down():
    """Without it the detector takes three times as long: two of its layers compute with numbers below 1e-38."""
    code = """
import threading
import numpy as np
from clipmill.scores.text.rapidocr import RapidOcr
def say(): print(np.float32(1e-39) * np.float32(0.5))
say()
RapidOcr(1).load()
thread = threading.Thread(target=say)
thread.start()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert [float(line) > 0 for line in done.stdout.split()] == [True, False]


def test_text_area_is_the_mean_over_the_frames(ocr):
    page = render.text_page(LINES, (640, 360))[0]
    found = row(ocr, page, photograph("coffee.png"), page)
    first = found["text_area_frames"][0]
    assert found["text_area_frames"] == [first, 0, first]
    assert found["text_area"] == pytest.approx(first * 2 / 3)


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


DIAMOND = [[50, 0], [100, 50], [50, 100], [0, 50]]


@pytest.mark.parametrize(
    ("polygons", "share"),
    [
        ([], 0),
        ([box(0, 0, 100, 50)], 0.5),
        ([box(0, 0, 100, 50)] * 3, 0.5),
        ([box(0.25, 0.5, 100, 50)], 0.9975 * 0.495),
        ([box(0, 0, 60, 100), box(40, 0, 100, 100)], 1),
        ([box(0, 0, 50, 50), box(25, 25, 75, 75)], (2500 + 2500 - 625) / 10000),
        ([DIAMOND], 0.5),
        ([box(-50, -50, 50, 150)], 0.5),
        ([box(-500, -500, 500, 500)], 1),
        ([box(10, 10, 10, 10)], 0),
    ],
)
def test_area_of_a_union_of_polygons(polygons, share):
    """Exactly: corners lie between pixels."""
    found = polygons_area(np.array(polygons, float).reshape(-1, 4, 2), (100, 100))
    assert found == pytest.approx(share, abs=1e-9)
    assert found <= 1


# --- aesthetics -------------------------------------------------------------------------------------------------------


def brighter(picture: np.ndarray, factor: float) -> np.ndarray:
    return np.clip(picture.astype(float) * factor, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_classic_prefers_sharp_well_exposed_and_colourful_pictures(name):
    picture = photograph(name)
    # The same mean level for all, so that each change changes one thing.
    picture = brighter(picture, 118 / cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).mean())
    score = classic.frame_score(picture)
    grey = cv2.merge([cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)] * 3)
    worse = {
        "blurred": cv2.GaussianBlur(picture, (0, 0), 4),
        "dark": brighter(picture, 0.2),
        "blown": brighter(picture, 3),
        "grey": grey,
        "flat": cv2.addWeighted(picture, 0.2, np.full_like(picture, 118), 0.8, 0),
    }
    scores = {how: classic.frame_score(other) for how, other in worse.items()}
    if name == "gravel.png":  # has no colour to lose
        assert scores.pop("grey") == pytest.approx(score, abs=0.1)
    assert all(0 <= other < score <= 10 for other in scores.values())


def test_classic_sees_crushed_and_blown_pixels():
    """Two halves that differ by a level or two: on one side of the limit, and on the other."""
    halves = [np.repeat(np.array([low, high], np.uint8), 5000).reshape(100, 100) for low, high in ((6, 230), (5, 231))]
    good, crushed = (classic.frame_score(cv2.merge([half] * 3)) for half in halves)
    assert good - crushed == pytest.approx(10 * classic.WEIGHTS["exposure"] / 2, abs=0.05)


def test_classic_stays_on_its_scale():
    rows, columns = np.mgrid[0:360, 0:640]
    checks = cv2.merge([(((rows + columns) % 2) * 255).astype(np.uint8)] * 3)
    extremes = [
        render.flat((640, 360), colour) for colour in ((0, 0, 0), (255, 255, 255), (118, 118, 118), (0, 0, 255))
    ]
    scores = [classic.frame_score(picture) for picture in (*extremes, checks, next(render.noise("n", SIZE, 1, 1)))]
    assert all(0 <= score <= 10 for score in scores)
    assert scores[0] == scores[1] == 0
    found = row(classic.Classic(2), *extremes[1:3])
    assert found["aesthetic_frames"] == scores[1:3]
    assert found["aesthetic"] == pytest.approx(sum(scores[1:3]) / 2)


# --- consistency ------------------------------------------------------------------------------------------------------


def likeness(*pictures: np.ndarray) -> float:
    return row(histogram.Histogram(), *pictures)["consistency"]


def test_consistency():
    first, second = photograph("coffee.png"), photograph("chelsea.png")
    shot = list(panned("coffee.png", 25)((640, 360), 2, 2))
    mixed = cv2.addWeighted(first, 0.5, second, 0.5, 0)
    assert likeness(first) == 1
    assert likeness(first, first, first) == pytest.approx(1)
    pan, dissolve, cut = likeness(*shot), likeness(shot[0], mixed), likeness(shot[0], second)
    assert 1 > pan > dissolve > cut >= 0
    assert pan > 0.7
    assert cut < 0.3  # the config's lower bound
    # The least of all neighbours: one cut or flash among steady frames decides.
    assert likeness(*shot, second) <= likeness(shot[-1], second)
    assert likeness(shot[0], shot[0], render.flat((640, 360), (255, 255, 255)), shot[0]) < 0.3


def test_consistency_hardly_sees_noise_and_light():
    picture = photograph("astronaut.png")
    noisy = np.clip(picture + render.generator("n").normal(0, 4, picture.shape), 0, 255).astype(np.uint8)
    assert likeness(picture, noisy) > 0.9
    assert 0.5 < likeness(picture, brighter(picture, 1.1)) < 1


@pytest.mark.parametrize(("one", "other"), list(itertools.combinations(PHOTOGRAPHS, 2)))
def test_cuts_between_photographs_are_seen(one, other):
    assert 0 <= likeness(photograph(one), photograph(other)) < 0.6


@pytest.mark.parametrize("backend", [RapidOcr, classic.Classic])
def test_what_a_score_depends_on_names_the_number_of_frames(backend):
    assert backend(1).about == {**backend(2).about, "frames": 1}
    assert {"backend", "version"} <= set(backend(1).about)
    assert backend(3).choice == FrameChoice(count=3)


@pytest.mark.parametrize("backend", [RapidOcr(1), classic.Classic(1), histogram.Histogram()])
def test_embedded_backends_need_no_files(backend):
    assert (backend.checkpoints(), backend.batch) == ([], 1)
