"""EasyOCR's detector: boxes from known maps, and the network with random weights against EasyOCR's own reader."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from checkpoints import make_craft
from clipmill.base.errors import ItemError, SetupError
from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.models.published import CRAFT, PUBLISHED
from clipmill.scores.text import ink
from clipmill.scores.text.boxes import polygons_area
from clipmill.scores.text.easyocr import Canvas, EasyOcr, text_boxes, tight_text_boxes

pytestmark = pytest.mark.torch

LANDSCAPE = (910, 512)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    torch.set_num_threads(1)
    return make_craft(tmp_path_factory.mktemp("craft"))


def ocr(path: Path, canvas_size=1280, dtype="fp32", sha256=None, frames=4) -> EasyOcr:
    made = EasyOcr(frames=frames, model=str(path), sha256=sha256, canvas_size=canvas_size, dtype=dtype)
    made.batch = 3
    return made


@pytest.fixture(scope="module")
def detector(weights) -> EasyOcr:
    return ocr(weights)


# --- boxes from maps --------------------------------------------------------------------------------------------------


def maps(*marks, size=(256, 128), links=()) -> np.ndarray:
    """CRAFT's maps: rectangles (left, top, right, bottom, score) of text, and of links, in pixels of the maps."""
    made = np.zeros((size[1], size[0], 2), np.float32)
    for layer, rectangles in enumerate((marks, links)):
        for left, top, right, bottom, score in rectangles:
            made[top:bottom, left:right, layer] = score
    return made


def bounds(found: np.ndarray, ratio=1.0) -> list[list[int]]:
    """(left, top, right, bottom) of the boxes found in maps of a canvas."""
    height, width = (round(2 * side / ratio) for side in found.shape[:2])
    boxes = text_boxes(found, Canvas(np.empty(0), ratio, (height, width))).boxes
    return [[*each.min(axis=0).astype(int), *each.max(axis=0).astype(int)] for each in boxes]


def test_box_of_a_word():
    """
    60 × 10 marked pixels of the map are widened by ⌊2 √10⌋ = 6, 3 each way, to the last marked pixel: x 17 to 82, y 47
    to 62. The canvas has twice as many pixels. There is no margin around that.
    """
    assert bounds(maps((20, 50, 80, 60, 0.9))) == [[34, 94, 164, 124]]


def test_boxes_are_in_pixels_of_the_frame():
    """A canvas at half of the frame's size: all is twice as large."""
    assert bounds(maps((20, 50, 80, 60, 0.9)), ratio=0.5) == [[68, 188, 328, 248]]


@pytest.mark.parametrize(
    ("marks", "links", "count"),
    [
        ([(20, 50, 80, 60, 0.9), (85, 50, 140, 60, 0.9)], [], 1),  # words with a space between: one line
        ([(20, 50, 80, 60, 0.9), (170, 50, 230, 60, 0.9)], [], 2),  # far apart
        ([(20, 20, 80, 30, 0.9), (20, 90, 80, 100, 0.9)], [], 2),  # two lines
        ([(20, 50, 80, 60, 0.9), (170, 50, 230, 60, 0.9)], [(80, 50, 170, 60, 0.5)], 1),  # tied by the link map
        ([(20, 50, 80, 60, 0.6)], [], 0),  # nowhere sure
        ([(20, 50, 80, 60, 0.6), (40, 54, 45, 56, 0.8)], [], 1),  # unsure, but for its middle
        ([(20, 50, 80, 60, 0.9)], [(20, 80, 80, 90, 0.9)], 1),  # a link alone is no text
        ([(20, 50, 23, 53, 0.9)], [], 0),  # 9 pixels
        ([(20, 50, 25, 53, 0.9)], [], 0),  # 15 pixels, that give a box of less than 20 pixels of the frame
        ([], [], 0),
    ],
)
def test_what_counts_as_text(marks, links, count):
    assert len(bounds(maps(*marks, links=links))) == count


def test_turned_text_counts_as_it_stands():
    """300 × 20 of the map, 600 × 40 of the frame: the upright box around it would be several times as large."""
    found = maps(size=(455, 256))
    word = cv2.boxPoints(((227, 128), (300, 20), 30))
    found[..., 0] = cv2.fillPoly(np.zeros(found.shape[:2], np.float32), [np.round(word).astype(int)], 0.9)
    (box,) = text_boxes(found, Canvas(np.empty(0), 1.0, LANDSCAPE[::-1])).boxes
    area = polygons_area(box[None], LANDSCAPE[::-1]) * LANDSCAPE[0] * LANDSCAPE[1]
    assert 600 * 40 < area < np.ptp(box, axis=0).prod() / 3


@pytest.mark.parametrize("lines", [1, 3])
def test_area_of_a_page(lines):
    """Maps that are 1 on the words. The network's are 1 in the middle of letters, so its boxes are widened."""
    page, area = render.text_page(["Four score and seven", "years ago our fathers", "brought forth"][:lines], LANDSCAPE)
    letters = cv2.threshold(cv2.cvtColor(page, cv2.COLOR_BGR2GRAY), 128, 1, cv2.THRESH_BINARY_INV)[1]
    words = cv2.morphologyEx(letters, cv2.MORPH_CLOSE, np.ones((5, 25), np.uint8))
    half = cv2.resize(words.astype(np.float32), (455, 256), interpolation=cv2.INTER_AREA)
    found = tight_text_boxes(np.stack([half, 0 * half], axis=-1), Canvas(page, 1.0, LANDSCAPE[::-1]))
    assert polygons_area(found.boxes, found.shape) == pytest.approx(area, rel=0.05)


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reader(weights, tmp_path_factory):
    """EasyOCR's own reader with the same weights."""
    import easyocr  # once torchvision can be imported

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(easyocr.config.detection_models["craft"], "md5sum", hashlib.md5(weights.read_bytes()).hexdigest())
        return easyocr.Reader(
            ["en"],
            gpu=False,
            model_storage_directory=str(weights.parent),
            user_network_directory=str(tmp_path_factory.mktemp("networks")),
            download_enabled=False,
            recognizer=False,
            verbose=False,
            quantize=False,  # 1.7.2 does not listen, but no part of CRAFT can be quantized
        )


def pictures() -> list[np.ndarray]:
    """BGR, of sizes that fill their canvas and that do not, one larger than 128; alike ones not side by side."""
    sizes = [(128, 64), (64, 128), (128, 64), (120, 60), (180, 90), (128, 64), (128, 64)]
    names = ["coffee.png", "rocket.jpg", "chelsea.png", "astronaut.png", "gravel.png", "astronaut.png", "rocket.jpg"]
    return [render.cover(render.photograph(name), size) for name, size in zip(names, sizes, strict=True)]


def corners(reader, picture: np.ndarray, canvas_size: int) -> np.ndarray:
    """What EasyOCR finds in one picture, without a margin around it: N × 4 × 2."""
    picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    (level,), (turned,) = reader.detect(picture, canvas_size=canvas_size, add_margin=0)
    upright = [[(left, top), (right, top), (right, bottom), (left, bottom)] for left, right, top, bottom in level]
    return np.array([*upright, *turned], float).reshape(-1, 4, 2)


@pytest.mark.filterwarnings("ignore:torch.ao.quantization")
def test_boxes_are_those_of_easyocr(reader, weights, monkeypatch):
    """Frames of several sizes in one batch, one of them shrunk: the boxes that EasyOCR finds in each alone."""
    monkeypatch.setattr(ink, "tight", lambda _, found: found)
    detector = ocr(weights, canvas_size=128)
    frames = pictures()
    found = detector.measure(detector.prepare(frames))
    wanted = [corners(reader, frame, 128) for frame in frames]
    for boxes, frame, own in zip(found, frames, wanted, strict=True):
        assert boxes.shape == frame.shape[:2]
        np.testing.assert_allclose(boxes.boxes, own, rtol=1e-5)
    assert sum(len(own) for own in wanted) > len(wanted), "the random weights find nothing: the test says nothing"


def test_boxes_from_any_maps_are_those_of_easyocr(reader, monkeypatch):
    """Level and turned words, alone and linked, in frames of the canvas's size and larger."""
    generator = np.random.default_rng(3)
    turned = 0
    for canvas_size in [256] * 15 + [128] * 15:
        frame = np.zeros((160, 256, 3), np.uint8)
        (canvas,) = ocr(Path("none"), canvas_size=canvas_size).prepare([frame])
        made = np.zeros((canvas.pixels.shape[0] // 2, canvas.pixels.shape[1] // 2, 2), np.float32)
        for layer in generator.choice([0, 0, 1], 10):
            middle = generator.uniform((0, 0), made.shape[1::-1])
            size, angle = generator.uniform((4, 3), (40, 10)), float(generator.choice([0, 20, 70]))
            word = cv2.boxPoints((middle, size, angle))
            image = np.ascontiguousarray(made[..., layer])
            made[..., layer] = cv2.fillPoly(image, [np.round(word).astype(int)], generator.uniform(0.3, 1))
        monkeypatch.setattr(reader, "detector", lambda _, made=made: (torch.from_numpy(made)[None], None))
        wanted = corners(reader, frame, canvas_size)
        np.testing.assert_allclose(text_boxes(made, canvas).boxes, wanted, rtol=1e-5)
        turned += sum(np.ptp(each[:2, 1]) > 0 for each in wanted)
    assert turned > 10


def test_canvases(detector):
    """What the network sees is what EasyOCR shows it: RGB, made smaller, black to a multiple of 32."""
    frame = np.random.default_rng(0).integers(0, 256, (64, 90, 3), np.uint8)
    (canvas,) = detector.prepare([frame])
    assert canvas.pixels.shape == (64, 96, 3)
    assert canvas.pixels.dtype == np.uint8
    assert (canvas.ratio, canvas.shape) == (1, (64, 90))
    assert (canvas.pixels[:, :90] == frame[..., ::-1]).all()
    assert not canvas.pixels[:, 90:].any()
    (small,) = ocr(Path("none"), canvas_size=64).prepare([frame])
    assert small.pixels.shape == (64, 64, 3)
    assert small.ratio == pytest.approx(64 / 90)


def test_maps_of_a_plain_restatement(reader, detector):
    """EasyOCR's network on each canvas alone, normalised as EasyOCR does it."""
    from easyocr.imgproc import normalizeMeanVariance

    canvases = [canvas.pixels for canvas in detector.prepare(pictures()[:3:2])]
    found = detector._maps(canvases)()
    for pixels, got in zip(canvases, found, strict=True):
        image = torch.from_numpy(normalizeMeanVariance(pixels)).permute(2, 0, 1)[None].contiguous()
        with torch.no_grad():
            wanted = reader.detector(image)[0][0].numpy()
        assert got.shape == (pixels.shape[0] // 2, pixels.shape[1] // 2, 2)
        np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


def test_bf16_is_near(detector, weights):
    """bf16 has three digits: over the network's 16 layers the maps go off by less than a twentieth of their range."""
    (canvas,) = detector.prepare(pictures()[:1])
    full, half = (made._maps([canvas.pixels])()[0] for made in (detector, ocr(weights, dtype="bf16")))
    assert full.dtype == half.dtype == np.float32
    assert 0 < np.abs(full - half).max() < 0.05 * np.ptp(full)


@pytest.mark.parametrize("threads", [1, 3])
def test_boxes_are_found_in_the_threads_of_the_job(detector, monkeypatch, threads):
    """The same in the same order, however many there are; none is left behind."""
    units, names = detector.prepare(pictures()), set()
    wanted = detector.measure(units)

    def noted(*given):
        names.add(threading.current_thread())
        time.sleep(0.05)
        return text_boxes(*given)

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr("clipmill.scores.text.easyocr.text_boxes", noted)
    for one, other in zip(detector.measure(units), wanted, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
    assert len(names) == threads and threading.main_thread() not in names
    assert not any(thread.is_alive() for thread in names)


def test_a_clip(detector):
    """From frames to columns."""
    frames = [pictures()[0]] * 2
    row = detector.finish(detector.measure(detector.prepare(frames)))
    assert set(row) == {"text_area", "text_area_frames", "text_static_area", "text_scene_area"}
    assert row["text_area_frames"] == [row["text_area"]] * 2
    assert 0 < row["text_area"] <= 1
    assert row["text_static_area"] + row["text_scene_area"] == pytest.approx(row["text_area"])


# --- weights ----------------------------------------------------------------------------------------------------------


def test_what_the_score_depends_on(weights):
    about = ocr(weights).about
    assert {**about, "frames": 2} == ocr(weights, frames=2).about
    assert {**about, "canvas_size": 640} == ocr(weights, canvas_size=640).about
    assert {**about, "dtype": "bf16"} == ocr(weights, dtype="bf16").about
    assert (about["backend"], about["version"]) == ("easyocr", version("easyocr"))
    revision = f"sha256:{hashlib.sha256(weights.read_bytes()).hexdigest()[:16]}"
    assert about["models"] == [{"model": str(weights), "revision": revision}]
    assert ocr(weights).checkpoints()[0].path == weights


def test_the_published_weights_are_those_of_easyocr():
    from easyocr.config import detection_models

    address, _, name = CRAFT.partition("#")
    assert (detection_models["craft"]["url"], detection_models["craft"]["filename"]) == (address, name)
    assert PUBLISHED[CRAFT].licence == "MIT"


def changed(weights: Path, folder: Path, change) -> Path:
    tensors = torch.load(weights)
    change(tensors)
    torch.save(tensors, folder / weights.name)
    return folder / weights.name


def load(path: Path, **settings) -> None:
    detector = ocr(path, **settings)
    detector.measure(detector.prepare(pictures()[:1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("module.upconv1.conv.0.weight"), r"upconv1\.conv\.0\.weight"),
        (lambda tensors: tensors.update({"module.conv_cls.8.bias": torch.zeros(3)}), r"conv_cls\.8\.bias"),
    ],
)
def test_wrong_weights_are_refused_by_name(weights, tmp_path, change, message):
    with pytest.raises(SetupError, match=message) as refused:
        load(changed(weights, tmp_path, change))
    assert weights.name in str(refused.value)


def test_numbers_that_are_not_finite_are_an_error_of_the_clip(weights, tmp_path):
    path = changed(weights, tmp_path, lambda tensors: tensors["module.conv_cls.8.bias"].fill_(torch.nan))
    detector = ocr(path)
    values = detector.measure(detector.prepare(pictures()[:1]))
    with pytest.raises(ItemError, match="fp32") as error:
        detector.finish(values)
    assert (error.value.kind, error.value.lasting) == ("not_finite", False)


def half(weights: Path, folder: Path) -> Path:
    path = Path(shutil.copy(weights, folder))
    os.truncate(path, weights.stat().st_size // 2)
    return path


@pytest.mark.parametrize("make", [half, lambda weights, folder: folder / "absent.pth"])
def test_files_that_are_not_the_weights(weights, tmp_path, make):
    path = make(weights, tmp_path)
    with pytest.raises(SetupError, match=path.name):
        load(path)


def test_other_weights_than_asked_for(weights):
    with pytest.raises(SetupError, match=f"{weights.name}.*{'0' * 64}"):
        ocr(weights, sha256="0" * 64).checkpoints()
