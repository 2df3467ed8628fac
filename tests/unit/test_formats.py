"""Every format of the dataset, read as its readers read it: by the library where one installs, else by its document."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import signal
import tomllib
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from made_exports import Clip, Export

from clipmill.dataset import formats
from clipmill.dataset.formats import pairs

TEXT = 'A "cat" <b>looks</b>\nout, & sees\u2028snow.'
IN_A_LINE = 'A "cat" <b>looks</b> out, & sees snow.'
# Names that a reader may stumble on: words for splits, dots, and a clip that begins as another's name does.
VIDEOS = ("my-test-1", "train.of.thought", "validation", "a", "a_1", "eval-2", "b", "c")
SHARE = 0.4  # draws some of them


def made(outdir: Path, **more) -> Export:
    clips = [Clip(video, at, text=f"{TEXT} {video} {at}", **more) for video in VIDEOS for at in (0, 4000)]
    return Export(outdir, clips)


@pytest.fixture
def export(tmp_path: Path) -> Export:
    return made(tmp_path / "test run")


def wanted(export: Export, split: str) -> dict[str, str]:
    """The texts of a split, by clip."""
    rows = export.rows().values()
    found = {row["clip_id"]: row["text"] for row in rows if row["split"] == split}
    assert found, f"the tests want clips in {split}"
    return found


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


def content(export: Export, clip_id: str) -> bytes:
    return next(clip.content for clip in export.clips if clip.id == clip_id)


# --- read by the real library ----------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> str:
    return str(tmp_path / "cache")


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The library. Only its tests import it, since `make quick` does not install it."""
    library = import_module("datasets")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    return library


def check_videofolder(datasets: ModuleType, export: Export, loaded: dict[str, Any]) -> None:
    assert set(loaded) == {"train", "validation"}
    for split, clips in loaded.items():
        clips = clips.cast_column("video", datasets.Video(decode=False))
        assert {row["clip_id"]: row["text"] for row in clips} == wanted(export, split)
        for row in clips:
            assert Path(row["video"]["path"]).read_bytes() == content(export, row["clip_id"])


@pytest.mark.slow
def test_videofolder_is_loaded_by_datasets(export, cache, datasets):
    dataset = export.run("hf-videofolder", validation_share=SHARE)
    loaded = datasets.load_dataset("videofolder", data_dir=str(dataset / "hf-videofolder"), cache_dir=cache)
    check_videofolder(datasets, export, loaded)


@pytest.mark.slow
def test_the_card_tells_datasets_of_the_videofolder_first(export, cache, datasets):
    dataset = export.run("webdataset", "hf-videofolder", "jsonl", validation_share=SHARE)
    check_videofolder(datasets, export, datasets.load_dataset(str(dataset), cache_dir=cache))


@pytest.mark.slow
def test_the_card_tells_datasets_of_the_tars_else(export, cache, datasets):
    loaded = datasets.load_dataset(str(export.run("webdataset", validation_share=SHARE)), cache_dir=cache)
    assert list(loaded) == ["train", "validation"]
    for split, clips in loaded.items():
        clips = clips.cast_column("mp4", datasets.Video(decode=False))
        assert {row["json"]["clip_id"]: row["txt"] for row in clips} == wanted(export, split)


@pytest.mark.slow
def test_the_card_tells_datasets_of_the_table_else(export, cache, datasets):
    dataset = export.run("easyanimate", "jsonl", validation_share=SHARE)
    loaded = datasets.load_dataset(str(dataset), cache_dir=cache)
    assert list(loaded) == ["clips"], "clips for validation are not called `train`"
    table = loaded["clips"].cast_column("video", datasets.Video(decode=False))
    for row in table:
        assert Path(row["video"]["path"]).read_bytes() == content(export, row["clip_id"])
        assert row["file_path"] == str(Path(row["video"]["path"]).relative_to(dataset))
    assert dict(zip(table["clip_id"], table["split"], strict=True)) == {
        name: row["split"] for name, row in export.rows().items()
    }
    assert "in one, `clips`: its column `split`" in (dataset / "README.md").read_text(encoding="utf-8")
    loaded = datasets.load_dataset(str(export.run("easyanimate")), cache_dir=cache)
    assert list(loaded) == ["train"] and set(loaded["train"]["split"]) == {"train"}
    assert isinstance(loaded["train"].features["video"], datasets.Video)


@pytest.mark.slow
def test_a_split_without_clips_is_not_told_and_loads(export, cache, datasets):
    dataset = export.run("hf-videofolder", "webdataset", validation_share=1e-9)
    loaded = datasets.load_dataset(str(dataset), cache_dir=cache)
    assert set(loaded) == {"train"} and len(loaded["train"]) == len(export.clips)
    folder = str(dataset / "hf-videofolder")
    by_folder = datasets.load_dataset("videofolder", data_dir=folder, split="train", cache_dir=cache)
    assert len(by_folder) == len(export.clips)
    assert json.loads((dataset / "webdataset" / "validation.json").read_text())["shardlist"] == []


@pytest.mark.slow
def test_several_captions_are_a_list_for_datasets(tmp_path, cache, datasets):
    export = Export(tmp_path, [Clip("a", 0, short="A cat."), Clip("a", 4000), Clip("b", 0)])
    dataset = export.run("hf-videofolder", captions=["short", "caption", "text"])
    rows = datasets.load_dataset("videofolder", data_dir=str(dataset / "hf-videofolder"), cache_dir=cache)["train"]
    clip = export.clips[0]
    assert {row["clip_id"]: row["captions"] for row in rows.remove_columns("video")} == {
        export.clips[0].id: ["A cat.", clip.caption, clip.text],
        export.clips[1].id: [clip.caption, clip.text],
        export.clips[2].id: [clip.caption, clip.text],
    }


def samples(url: str) -> list[dict]:
    return list(import_module("webdataset").WebDataset(url, shardshuffle=False).decode())


@pytest.mark.slow
def test_tars_are_read_by_webdataset(export):
    dataset = export.run("webdataset", validation_share=SHARE)
    for split in ("train", "validation"):
        (shard,) = json.loads((dataset / "webdataset" / f"{split}.json").read_text())["shardlist"]
        path = dataset / "webdataset" / shard["url"]
        assert path.stat().st_size == shard["filesize"]
        found = samples(str(path))
        assert len(found) == shard["nsamples"]
        assert {sample["json"]["clip_id"]: sample["txt"] for sample in found} == wanted(export, split)
        for sample in found:
            assert sample["__key__"] == sample["json"]["clip_id"].replace(".", "%2E")
            assert sample["mp4"] == content(export, sample["json"]["clip_id"])


def test_their_list_is_as_wids_has_it(export):
    """The fields that webdataset.github.io/webdataset/wids names."""
    listed = json.loads((export.run("webdataset") / "webdataset" / "train.json").read_text())
    assert (listed["__kind__"], listed["wids_version"], listed["name"]) == ("wids-shard-index-v1", 1, "train")
    assert [shard.keys() for shard in listed["shardlist"]] == [{"url", "nsamples", "filesize"}]


@pytest.mark.slow
def test_a_tar_is_as_large_as_asked_and_changed_ones_alone_are_written(tmp_path):
    clips = [Clip("v", at * 4000, text=f"Text {at}. " + "word " * 60_000) for at in range(8)]
    export = Export(tmp_path, clips)
    dataset = export.run("webdataset", tar_megabytes=1)  # of clips with 0.6 MB of text, in the txt and in the json
    tars = sorted((dataset / "webdataset").glob("*.tar"))
    assert len(tars) == 8 and all(tar.stat().st_size < 1_000_000 for tar in tars)
    dataset = export.run("webdataset", tar_megabytes=2)
    tars = sorted((dataset / "webdataset").glob("*.tar"))
    assert [tar.name for tar in tars] == [f"train-{number:06d}.tar" for number in range(3)]
    assert [len(samples(str(tar))) for tar in tars] == [3, 3, 2]
    assert "train-{000000..000002}.tar" in (dataset / "README.md").read_text()

    before = [tar.stat().st_mtime_ns for tar in tars]
    export.run("webdataset", tar_megabytes=2)
    assert [tar.stat().st_mtime_ns for tar in tars] == before
    export.clips[4] = Clip("v", 4 * 4000, text="Another text.")
    export.run("webdataset", tar_megabytes=2)
    assert [tar.stat().st_mtime_ns == time for tar, time in zip(tars, before, strict=True)] == [True, False, False]
    assert [len(samples(str(tar))) for tar in tars] == [3, 4, 1]
    tars[0].write_bytes(b"broken")
    export.run("webdataset", tar_megabytes=2)
    assert len(samples(str(tars[0]))) == 3


# --- read as its document says ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "folder"), [("easyanimate", "."), ("videox-fun", "videox-fun")])
def test_easyanimate_and_videox_fun(export, name, folder):
    dataset = export.run(name, validation_share=SHARE)
    for split in ("train", "validation"):
        entries = json.loads((dataset / folder / f"{split}.json").read_text(encoding="utf-8"))
        assert {Path(entry["file_path"]).stem: entry["text"] for entry in entries} == wanted(export, split)
        assert {(entry["type"], entry["width"], entry["height"]) for entry in entries} == {("video", 64, 48)}
        assert all((dataset / entry["file_path"]).is_file() and "audio_path" not in entry for entry in entries)


def test_ltx_trainer_has_its_list_beside_the_clips(export):
    """It names its files after the paths, relative to the list: these must not lead out of the list's folder."""
    dataset = export.run("ltx-trainer", validation_share=SHARE)
    for split in ("train", "validation"):
        entries = json.loads((dataset / f"ltx-trainer-{split}.json").read_text(encoding="utf-8"))
        assert {Path(entry["video"]).stem: entry["caption"] for entry in entries} == wanted(export, split)
        assert all((dataset / entry["video"]).is_file() and ".." not in entry["video"] for entry in entries)


def test_the_card_tells_ltx_trainer_the_shapes(tmp_path):
    card = (shapes(tmp_path).run("ltx-trainer", buckets=BUCKETS) / "README.md").read_text(encoding="utf-8")
    assert '--resolution-buckets "832x480x33;832x480x81;480x832x81"' in card


def test_diffsynth(export):
    dataset = export.run("diffsynth", validation_share=SHARE)
    for split in ("train", "validation"):
        with open(dataset / "diffsynth" / f"{split}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {Path(row["video"]).stem: row["prompt"] for row in rows} == wanted(export, split)
        assert all((dataset / row["video"]).is_file() and row["input_audio"] == row["video"] for row in rows)


def test_fastvideo(export):
    dataset = export.run("fastvideo", validation_share=SHARE)
    for split in ("train", "validation"):
        root = dataset / "fastvideo" / split
        entries = json.loads((root / "videos2caption.json").read_text(encoding="utf-8"))
        assert {Path(entry["path"]).stem: entry["cap"] for entry in entries} == {
            clip: [text] for clip, text in wanted(export, split).items()
        }
        for entry in entries:
            assert (root / "videos" / entry["path"]).stat().st_size == entry["size"]
            assert entry["resolution"] == {"width": 64, "height": 48}
            assert (entry["fps"], entry["duration"], entry["num_frames"]) == (10, 4, 40)


def test_jsonl(export):
    dataset = export.run("jsonl", validation_share=SHARE)
    assert {row["clip_id"]: row for row in read_lines(dataset / "metadata.jsonl")} == export.rows()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finetrainers", "diffusers"])
def test_prompts_and_videos(export, name):
    """Lines of both files belong together, and paths count from the folder they are in."""
    dataset = export.run(name, validation_share=SHARE)
    for split in ("train", "validation"):
        root = dataset / name / split
        prompts, videos = ((root / f"{what}.txt").read_text(encoding="utf-8") for what in ("prompts", "videos"))
        assert prompts.endswith("\n") and videos.endswith("\n")
        prompts, videos = prompts.splitlines(), videos.splitlines()  # as both readers do
        assert all((root / video).is_file() for video in videos)
        expected = {clip: text.replace(TEXT, IN_A_LINE) for clip, text in wanted(export, split).items()}
        assert {Path(video).stem: text for video, text in zip(videos, prompts, strict=True)} == expected


def test_finetrainers_has_no_file_that_it_takes_for_another_format(export):
    """It takes a folder with a tar, a parquet or a metadata file anywhere in it for something else."""
    dataset = export.run("finetrainers", "webdataset")
    (entry,) = json.loads((dataset / "finetrainers" / "training.json").read_text())["datasets"]
    assert entry == {
        "data_root": "finetrainers/train",
        "dataset_type": "video",
        "video_resolution_buckets": [[33, 544, 960]],
        "reshape_mode": "resize_crop",
    }
    names = {path.name for path in (dataset / entry["data_root"]).rglob("*")}
    assert names == {"prompts.txt", "videos.txt"}


@pytest.mark.slow
def test_data_juicer(tmp_path, cache, datasets):
    """As many tokens for videos as there are videos, and one for the end, whatever a caption says."""
    export = Export(
        tmp_path, [Clip("a"), Clip("b", text="Two <__dj__video> at <|__dj__<|__dj__eoc|>eoc|> once, <__dj__image>.")]
    )
    dataset = export.run("data-juicer")
    path = dataset / "data-juicer" / "train.jsonl"
    rows = read_lines(path)
    assert [row["text"] for row in rows] == [
        "<__dj__video> A cat looks out of the window. <|__dj__eoc|>",
        "<__dj__video> Two < dj video> at <| dj <| dj eoc|>eoc|> once, < dj image>. <|__dj__eoc|>",
    ]
    for row, clip in zip(rows, export.clips, strict=True):
        (video,) = row["videos"]
        assert (path.parent / video).read_bytes() == clip.content
        assert row["meta"]["clip_id"] == clip.id
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=cache)
    assert loaded["videos"][:] == [row["videos"] for row in rows]


BUCKETS = {"resolutions": [[832, 480], [480, 832]], "aspect_ratios": None, "frames": [33, 81]}


def shapes(outdir: Path) -> Export:
    return Export(
        outdir,
        [
            Clip("wide", 0, size=(1280, 720), frames=100),
            Clip("wide", 4000, size=(1280, 720), frames=80),
            Clip("tall", 0, size=(720, 1280), frames=81, short="Tall."),
            Clip("small", 0, size=(640, 360), frames=100),
            Clip("brief", 0, size=(1280, 720), frames=32),
        ],
    )


def by_folder(root: Path) -> dict[str, list[str]]:
    """Videos by folder, each of which must have its text beside it."""
    found: dict[str, list[str]] = {}
    for video in sorted(root.rglob("*.mp4")):
        assert video.with_suffix(".txt").read_text(encoding="utf-8").strip()
        found.setdefault(str(video.parent.relative_to(root)), []).append(video.stem.split("_")[0])
    return found


PLACES = {"832x480x81": ["wide"], "832x480x33": ["wide"], "480x832x81": ["tall"]}
PAIRS = ["musubi-tuner", "diffusion-pipe", "simpletuner", "ai-toolkit"]


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_video_and_text_by_bucket(tmp_path, name, caplog):
    export = shapes(tmp_path)
    dataset = export.run(name, buckets=BUCKETS)
    rate = "@10" if name == "musubi-tuner" else ""
    assert by_folder(dataset / name / "train") == {f"{place}{rate}/0000": clips for place, clips in PLACES.items()}
    assert "2 of 5 clips fit no bucket" in caplog.text
    assert {clip: row["bucket_frames"] for clip, row in export.rows().items()} == {
        "wide_00000000-00004000": 81,
        "wide_00004000-00008000": 33,
        "tall_00000000-00004000": 81,
        "small_00000000-00004000": None,
        "brief_00000000-00004000": None,
    }


def test_musubi_tuner_is_told_each_folder(tmp_path):
    dataset = shapes(tmp_path).run("musubi-tuner", buckets=BUCKETS)
    config = tomllib.loads((dataset / "musubi-tuner" / "train.toml").read_text())
    assert config["general"]["caption_extension"] == ".txt"
    assert config["general"]["enable_bucket"] is True
    assert all("enable_bucket" not in entry for entry in config["datasets"])
    told = {entry["video_directory"]: (entry["resolution"], entry["target_frames"]) for entry in config["datasets"]}
    assert told == {
        f"musubi-tuner/train/{folder}": (size, frames)
        for folder, size, frames in [
            ("832x480x81@10/0000", [832, 480], [81]),
            ("832x480x33@10/0000", [832, 480], [33]),
            ("480x832x81@10/0000", [480, 832], [81]),
        ]
    }
    assert all((dataset / folder).is_dir() for folder in told)
    caches = [entry["cache_directory"] for entry in config["datasets"]]
    assert len(set(caches)) == 3 and not set(caches) & set(told)  # a cache must be different for each dataset


def test_musubi_tuner_is_told_the_rate_of_each_folder(tmp_path):
    """As a float: it refuses whole numbers. Videos without a constant rate share folders of tenths."""
    rates = {"a": Fraction(30000, 1001), "b": Fraction(16), "c": Fraction(25, 2), "d": Fraction(25087, 1000)}
    rates |= {"e": Fraction(25012, 1000), "f": Fraction(60000, 1001)}
    dataset = Export(tmp_path, [Clip(name, rate=rate) for name, rate in rates.items()]).run("musubi-tuner")
    config = tomllib.loads((dataset / "musubi-tuner" / "train.toml").read_text())
    assert all(isinstance(entry["source_fps"], float) for entry in config["datasets"])
    told = {entry["video_directory"].split("/")[2]: entry["source_fps"] for entry in config["datasets"]}
    assert told == {"all@29.97003": 29.97003, "all@16": 16, "all@12.5": 12.5, "all@25": 25, "all@59.94006": 59.94006}
    assert by_folder(dataset / "musubi-tuner" / "train")["all@25/0000"] == ["d", "e"]


def test_diffusion_pipe_is_told_each_folder(tmp_path):
    dataset = shapes(tmp_path).run("diffusion-pipe", buckets=BUCKETS)
    config = tomllib.loads((dataset / "diffusion-pipe" / "train.toml").read_text())
    assert "resolutions" in config  # it asks for them even if each folder has its own
    assert {entry["path"]: entry["resolutions"] for entry in config["directory"]} == {
        "diffusion-pipe/train/832x480x81/0000": [[832, 480]],
        "diffusion-pipe/train/832x480x33/0000": [[832, 480]],
        "diffusion-pipe/train/480x832x81/0000": [[480, 832]],
    }
    assert all(entry["ar_buckets"] == entry["resolutions"] for entry in config["directory"])
    assert all(entry["frame_buckets"] == [1, 33, 81] for entry in config["directory"])
    assert not list(dataset.rglob("captions.json"))


def test_diffusion_pipe_takes_several_captions(tmp_path):
    export = shapes(tmp_path)
    dataset = export.run("diffusion-pipe", buckets=BUCKETS, captions=["text", "short"])
    tall = export.clips[2]
    folder = dataset / "diffusion-pipe" / "train" / "480x832x81" / "0000"
    assert json.loads((folder / "captions.json").read_text()) == {f"{tall.id}.mp4": [tall.text, "Tall."]}
    wide = dataset / "diffusion-pipe" / "train" / "832x480x81" / "0000" / "captions.json"
    assert list(json.loads(wide.read_text()).values()) == [[tall.text]]
    export.run("diffusion-pipe", buckets=BUCKETS)
    assert not list(dataset.rglob("captions.json"))


def test_finetrainers_is_told_the_buckets(tmp_path):
    dataset = shapes(tmp_path).run("finetrainers", buckets=BUCKETS)
    (entry,) = json.loads((dataset / "finetrainers" / "training.json").read_text())["datasets"]
    assert entry["video_resolution_buckets"] == [[33, 480, 832], [81, 480, 832], [81, 832, 480]]
    assert entry["reshape_mode"] == "resize_crop"


def test_without_sizes_trainers_get_those_of_the_usual_area(tmp_path):
    export = shapes(tmp_path)
    for buckets, sizes in [
        ({}, [[33, 544, 960], [33, 960, 544]]),
        ({"aspect_ratios": [1.778, 0.5625, 1]}, [[33, 544, 960], [33, 960, 544]]),
        ({"frames": [81]}, [[81, 544, 960], [81, 960, 544]]),
    ]:
        dataset = export.run("finetrainers", buckets=buckets)
        (entry,) = json.loads((dataset / "finetrainers" / "training.json").read_text())["datasets"]
        assert entry["video_resolution_buckets"] == sizes


def test_simpletuner_is_told_each_folder(tmp_path):
    dataset = shapes(tmp_path).run("simpletuner", buckets=BUCKETS)
    *videos, texts = json.loads((dataset / "simpletuner" / "train.json").read_text())
    assert texts == {
        "id": "text-embeds",
        "type": "local",
        "dataset_type": "text_embeds",
        "default": True,
        "cache_dir": "simpletuner/cache/text",
    }
    assert [(entry["resolution"], entry["crop_aspect_buckets"], entry["video"]) for entry in videos] == [
        (480, [0.58], {"num_frames": 81, "min_frames": 81}),
        (480, [1.73], {"num_frames": 33, "min_frames": 33}),
        (480, [1.73], {"num_frames": 81, "min_frames": 81}),
    ]
    for key in ("id", "instance_data_dir", "cache_dir_vae"):
        assert len({entry[key] for entry in videos}) == 3
    assert all((dataset / entry["instance_data_dir"]).is_dir() for entry in videos)


def test_ai_toolkit_is_told_each_folder(tmp_path):
    export = shapes(tmp_path)
    dataset = export.run("ai-toolkit", buckets=BUCKETS)
    told = yaml.safe_load((dataset / "ai-toolkit" / "train.yaml").read_text())["datasets"]
    assert told[1] == {
        "folder_path": "ai-toolkit/train/832x480x33/0000",
        "caption_ext": "txt",
        "resolution": [632],
        "bucket_tolerance": 32,
        "num_frames": 33,
    }
    assert [entry["num_frames"] for entry in told] == [81, 33, 81]
    export.run("ai-toolkit", buckets=BUCKETS | {"fps": 16})
    told = yaml.safe_load((dataset / "ai-toolkit" / "train.yaml").read_text())["datasets"]
    assert {(entry["fps"], entry["shrink_video_to_frames"]) for entry in told} == {(16, False)}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["musubi-tuner", "diffusion-pipe"])
def test_without_buckets_there_is_one_folder_and_a_config_that_loads(tmp_path, name):
    dataset = shapes(tmp_path).run(name)
    assert set(by_folder(dataset / name / "train")) == {"all@10/0000" if name == "musubi-tuner" else "all/0000"}
    config = tomllib.loads((dataset / name / "train.toml").read_text())
    (entry,) = config.get("datasets") or config["directory"]
    assert (dataset / (entry.get("video_directory") or entry["path"])).is_dir()
    if name == "diffusion-pipe":  # it wants all of these where it is given no sizes
        assert {"resolutions", "min_ar", "max_ar", "num_ar_buckets"} <= config.keys()


def test_diffusion_pipe_takes_aspect_ratios(tmp_path):
    buckets = {"resolutions": None, "aspect_ratios": [1.778, 0.5625], "frames": "8n+1"}
    dataset = shapes(tmp_path).run("diffusion-pipe", buckets=buckets)
    config = tomllib.loads((dataset / "diffusion-pipe" / "train.toml").read_text())
    assert config["ar_buckets"] == [0.5625, 1.778]
    assert {entry["path"].split("/")[2]: entry["frame_buckets"] for entry in config["directory"]} == {
        folder: [1, *range(9, 98, 8)] for folder in ("1.778x97", "1.778x73", "0.5625x81", "1.778x25")
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["musubi-tuner", "diffusion-pipe"])
def test_a_folder_of_pairs_does_not_grow_without_end(export, name, monkeypatch):
    monkeypatch.setattr(pairs, "FILES_PER_FOLDER", 6)
    dataset = export.run(name)
    parts = by_folder(dataset / name / "train")
    place = "all@10" if name == "musubi-tuner" else "all"
    assert {folder: len(videos) for folder, videos in parts.items()} == {
        f"{place}/0000": 6, f"{place}/0001": 6, f"{place}/0002": 4
    }  # fmt: skip
    assert (dataset / name / "train.toml").read_text().count(f'"{name}/train/{place}/') == 3


def texts_of(export: Export) -> dict[str, set[str]]:
    """The text of each clip, as every format has it, by clip."""
    found: dict[str, set[str]] = {clip: {row["text"]} for clip, row in export.rows().items()}
    dataset = export.dataset

    def add(video: str, text: str) -> None:
        found[Path(video).stem].add(text)

    for name in ("train.json", "videox-fun/train.json"):
        for entry in json.loads((dataset / name).read_text()):
            add(entry["file_path"], entry["text"])
    for entry in json.loads((dataset / "ltx-trainer-train.json").read_text()):
        add(entry["video"], entry["caption"])
    for entry in json.loads((dataset / "fastvideo" / "train" / "videos2caption.json").read_text()):
        add(entry["path"], entry["cap"][0])
    with open(dataset / "diffsynth" / "train.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            add(row["video"], row["prompt"])
    for row in read_lines(dataset / "metadata.jsonl"):
        add(row["file_path"], row["text"])
    for row in read_lines(dataset / "hf-videofolder" / "train" / "metadata.jsonl"):
        found[row["clip_id"]].add(row["text"])
    for row in read_lines(dataset / "data-juicer" / "train.jsonl"):
        add(row["videos"][0], row["text"].removeprefix("<__dj__video> ").removesuffix(" <|__dj__eoc|>"))
    for name in ("finetrainers", "diffusers"):
        prompts, videos = ((dataset / name / "train" / f"{what}.txt").read_text() for what in ("prompts", "videos"))
        for video, text in zip(videos.splitlines(), prompts.splitlines(), strict=True):
            add(video, text)
    for name in PAIRS:
        for text in dataset.glob(f"{name}/train/**/*.txt"):
            add(text.name, text.read_text().removesuffix("\n"))
    return found


def test_what_is_heard_ends_every_text_and_a_prefix_and_a_suffix_are_around_it(tmp_path):
    heard = {"caption_speech": "none", "caption_music": "none", "caption_sounds": "it purrs"}
    clips = [Clip("a", 0, text="A cat.", caption="The cat.", short="Cat.", heard=heard), Clip("b", 0, text="A dog.")]
    export = Export(tmp_path, clips)
    around = {"text_prefix": "sks, ", "text_suffix": " End."}
    dataset = export.run(*ALL, **around)
    assert texts_of(export) == {clips[0].id: {"sks, A cat. It purrs. End."}, clips[1].id: {"sks, A dog. End."}}
    assert [(row["caption"], row["caption_short"]) for row in export.rows().values()] == [
        ("The cat.", "Cat."),
        (clips[1].caption, None),
    ]
    export.run("diffusion-pipe", "fastvideo", captions=["short", "caption", "text"], **around)
    expected = [f"sks, {text} It purrs. End." for text in ("Cat.", "The cat.", "A cat.")]
    captions = json.loads((dataset / "diffusion-pipe" / "train" / "all" / "0000" / "captions.json").read_text())
    assert captions[f"{clips[0].id}.mp4"] == expected
    entries = json.loads((dataset / "fastvideo" / "train" / "videos2caption.json").read_text())
    assert entries[0]["cap"] == expected


# --- all of them ------------------------------------------------------------------------------------------------------

ALL = tuple(formats.FORMATS)
EVERYTHING = {"validation_share": SHARE, "captions": ["text", "caption"], "tar_megabytes": 1}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_entries_are_there_and_nothing_is_left_when_a_format_goes(export, name):
    dataset = export.run("parquet", validation_share=SHARE)
    before = export.files()
    export.run(name, "parquet", validation_share=SHARE)
    for entry in formats.entries([name], formats.SPLITS):
        assert (dataset / entry).is_file()
    own = {path for path in export.files() if path not in before}
    assert own or name == "parquet"
    export.run("parquet", validation_share=SHARE)
    assert export.files() == before
    assert {path.name for path in dataset.iterdir()} == {"README.md", "clips", "metadata.parquet"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_nothing_of_the_validation_is_left_when_it_goes(export, name):
    export.run(name)
    before = export.files()
    export.run(name, validation_share=SHARE)
    export.run(name)
    assert export.files() == before
    assert not [
        path
        for path in export.dataset.rglob("*validation*")
        if not {"clips", "videos"} & set(path.parts) and path.suffix not in (".mp4", ".txt")
    ]


@pytest.mark.slow
def test_the_same_clips_make_the_same_bytes(export, tmp_path):
    export.run(*ALL, **EVERYTHING)
    first = export.files()
    other = made(tmp_path / "other")
    other.run("easyanimate")  # another history
    other.run(*ALL, validation_share=0.9)
    other.run(*ALL[::-1], **EVERYTHING)
    again = other.files()
    assert first.keys() == again.keys()
    assert {path for path in first if first[path] != again[path]} <= {
        "README.md"
    }  # which tells the formats in their order
    other.run(*ALL, **EVERYTHING)
    assert other.files() == first


def test_videos_are_links_and_not_copies(export):
    dataset = export.run(*ALL, validation_share=SHARE)
    clip = export.clips[0].id
    stored = os.stat(next(export.outdir.rglob(f"work/clip_files/*/{clip}.mp4")))
    videos = [path for path in dataset.rglob("*.mp4") if path.stat().st_ino == stored.st_ino]
    assert len(videos) == 7  # clips, hf-videofolder, fastvideo, and PAIRS
    assert len(list(dataset.rglob("*.mp4"))) == 7 * len(export.clips)


@pytest.mark.parametrize("settings", [{}, {"has_target": True}])
def test_promises_that_do_not_hold_are_warned_of_with_a_target(tmp_path, caplog, settings):
    clips = [Clip("a", broken=("sdr",)), Clip("b", broken=("sdr", "progressive")), Clip("c")]
    Export(tmp_path, clips, settings).run("easyanimate")
    assert ("these columns are false: sdr of 2, progressive of 1" in caplog.text) == bool(settings)
    assert "| sdr | 2 |" in (tmp_path / "dataset" / "README.md").read_text(encoding="utf-8")


def test_without_links_there_are_copies(export, monkeypatch, caplog):
    def no_links(*_):
        raise OSError("not here")

    monkeypatch.setattr(os, "link", no_links)
    export.run("easyanimate", "hf-videofolder")
    assert f"no hard links: {len(export.clips)} clips copied" in caplog.text
    assert len(list(export.dataset.rglob("*.mp4"))) == 2 * len(export.clips)


@pytest.mark.slow
def test_a_clip_that_leaves_leaves_every_format(export):
    export.run(*ALL, **EVERYTHING)
    gone = export.clips.pop(0)
    export.run(*ALL, **EVERYTHING)
    assert not [path for path, data in export.files().items() if gone.id in path or gone.id.encode() in data]
    fresh = Export(export.outdir.parent / "fresh", export.clips)
    fresh.run(*ALL, **EVERYTHING)
    assert fresh.files() == export.files()


@pytest.mark.slow
def test_a_trainers_cache_stays(export):
    dataset = export.run("diffusion-pipe", "musubi-tuner")
    caches = [
        dataset / "diffusion-pipe" / "train" / "all" / "0000" / "cache" / "model" / "metadata" / "grouping_keys.json",
        dataset / "musubi-tuner" / "cache" / "train" / "all@10" / "0000" / "clip.safetensors",
    ]
    for cache in caches:
        cache.parent.mkdir(parents=True)
        cache.write_text("dear")
    export.clips.pop()
    export.run("diffusion-pipe", "musubi-tuner")
    assert [cache.read_text() for cache in caches] == ["dear", "dear"]


@pytest.mark.slow
def test_what_others_put_beside_the_formats_stays(export):
    """Trainers are started in the dataset folder: their clones and outputs have the formats' names."""
    dataset = export.run(*ALL, **EVERYTHING)
    for name in (
        *("musubi-tuner/requirements.txt", "musubi-tuner/output/sample.mp4", "diffusion-pipe/output/lora.safetensors"),
        *(
            "diffusion-pipe/README.md",
            "webdataset/mine.tar",
            "hf-videofolder/sample.mp4",
            "finetrainers/train/notes.txt",
        ),
    ):
        (dataset / name).parent.mkdir(parents=True, exist_ok=True)
        (dataset / name).write_text("mine")
    for names in (ALL, ("jsonl",)):
        export.run(*names)
        mine = [path for path in dataset.rglob("*") if path.is_file() and path.read_bytes() == b"mine"]
        assert len(mine) == 7
    assert {path.parts[0] for path in (file.relative_to(dataset) for file in dataset.rglob("*") if file.is_file())} == {
        *("README.md", "clips", "metadata.jsonl", "metadata.parquet"),
        *("musubi-tuner", "diffusion-pipe", "webdataset", "hf-videofolder", "finetrainers"),
    }
    assert len([path for path in dataset.rglob("*") if path.is_file() and "clips" not in path.parts]) == 3 + 7


def named(dataset: Path) -> list[Path]:
    """The videos that the lists of all formats name."""
    lists = [(path, dataset, "file_path") for path in (dataset / "train.json", dataset / "validation.json")]
    lists += [(path, dataset, "file_path") for path in dataset.glob("videox-fun/*.json")]
    lists += [(path, dataset, "video") for path in dataset.glob("ltx-trainer-*.json")]
    lists += [(path, path.parent / "videos", "path") for path in dataset.glob("fastvideo/*/videos2caption.json")]
    found = [root / entry[key] for path, root, key in lists for entry in json.loads(path.read_text(encoding="utf-8"))]
    for path in dataset.glob("diffsynth/*.csv"):
        with open(path, encoding="utf-8", newline="") as file:
            found += [dataset / row["video"] for row in csv.DictReader(file)]
    found += [dataset / row["file_path"] for row in read_lines(dataset / "metadata.jsonl")]
    for path in dataset.glob("data-juicer/*.jsonl"):
        found += [path.parent / row["videos"][0] for row in read_lines(path)]
    for path in dataset.glob("hf-videofolder/*/metadata.jsonl"):
        found += [path.parent / row["file_name"] for row in read_lines(path)]
    for path in dataset.glob("*/*/videos.txt"):
        found += [path.parent / line for line in path.read_text().splitlines()]
    for path in dataset.glob("webdataset/*.json"):
        found += [path.parent / shard["url"] for shard in json.loads(path.read_text())["shardlist"]]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 6, 15])
def test_an_export_that_is_killed_leaves_lists_that_hold(export, at):
    """Killed when a number of clips have been handed over; then the next export is as if nothing had been."""
    export.run(*ALL, **EVERYTHING)
    export.clips = [Clip(clip.video, clip.at, text=f"New: {clip.text}") for clip in export.clips[2:]]
    export.clips += [Clip("new", n * 4000) for n in range(4)]
    killed = multiprocessing.get_context("spawn").Process(target=run_and_be_killed, args=(export, at))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert list(export.dataset.glob(".*.tmp"))  # what it was writing
    videos = named(export.dataset)
    assert len(videos) >= 5 * len(VIDEOS) and all(video.is_file() for video in videos)
    for name in PAIRS:
        for video in export.dataset.glob(f"{name}/**/*.mp4"):
            assert video.with_suffix(".txt").is_file()

    fresh = Export(export.outdir.parent / "fresh", export.clips)
    for formats_after in (("parquet",), ALL):
        export.run(*formats_after, **EVERYTHING)
        fresh.run(*formats_after, **EVERYTHING)
        assert fresh.files() == export.files()


def run_and_be_killed(export: Export, at: int) -> None:
    """In a process of its own."""
    taken = iter(range(1, at))
    original = pairs.DiffusionPipe.clip

    def clip(self, row):
        original(self, row)
        if next(taken, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    pairs.DiffusionPipe.clip = clip
    export.run(*ALL, **EVERYTHING)
