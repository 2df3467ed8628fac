"""Which clips are for validation, which bucket a clip is in, and which of its captions is its text."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from made_exports import CONFIG, Clip, Export

from clipmill.base.errors import SetupError
from clipmill.config import check_config
from clipmill.dataset.formats.assign import Bucket, Buckets, split_of
from clipmill.dataset.formats.layout import Layout

VIDEOS = [f"video-{number}" for number in range(20_000)]
SCHEMA = Path(__file__).resolve().parents[2] / "config" / "config.schema.yaml"


def drawn(share: float, seed: int = 0) -> set[str]:
    return {video for video in VIDEOS if split_of(video, share, seed) == "validation"}


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_so_many_videos_are_for_validation(share):
    assert len(drawn(share)) == pytest.approx(share * len(VIDEOS), rel=0.15)


def test_none_are_by_default():
    assert CONFIG["export"]["validation_share"] == 0 and not drawn(0)


def test_a_larger_share_only_adds_and_another_seed_draws_others():
    assert drawn(0.01) < drawn(0.05) < drawn(0.5)
    assert len(drawn(0.05) & drawn(0.05, seed=1)) < 0.3 * len(drawn(0.05))


@pytest.mark.slow
def test_clips_of_a_video_stay_together_and_new_videos_move_none(tmp_path):
    videos = VIDEOS[:12]
    export = Export(tmp_path, [Clip(video, at * 4000) for video in videos[:8] for at in range(2)])
    export.run("parquet", validation_share=0.5)
    before = {clip: row["split"] for clip, row in export.rows().items()}
    assert {before[f"{video}_00000000-00004000"] == before[f"{video}_00004000-00008000"] for video in videos[:8]} == {
        True
    }
    assert set(before.values()) == {"train", "validation"}
    export.clips = [Clip(video, at * 4000) for video in videos for at in range(2)]
    export.run("parquet", validation_share=0.5)
    assert before.items() <= {clip: row["split"] for clip, row in export.rows().items()}.items()


# --- buckets ----------------------------------------------------------------------------------------------------------

SIZES = [[832, 480], [480, 832], [640, 640], [1280, 720]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1920, 1080), (1280, 720)),
        ((1280, 720), (1280, 720)),
        ((1279, 720), (832, 480)),  # 1280 wide would be an enlargement by a pixel
        ((832, 480), (832, 480)),
        ((831, 480), None),
        ((720, 1280), (480, 832)),
        ((1000, 1000), (640, 640)),
        ((640, 640), (640, 640)),
        ((840, 640), (640, 640)),  # 1.31 is nearer to 1 than to 1.73
        ((850, 640), (832, 480)),
        ((4000, 600), (832, 480)),
        ((639, 639), None),
    ],
)
def test_the_nearest_size_that_a_clip_need_not_be_enlarged_for(size, expected):
    bucket = Buckets(resolutions=SIZES).of(*size, frames=50, fps=10)
    assert (bucket and (bucket.bucket_width, bucket.bucket_height)) == expected
    if bucket:
        assert bucket.bucket_aspect_ratio == round(expected[0] / expected[1], 3)
        assert bucket.bucket_frames is None


def test_of_two_sizes_with_the_same_ratio_the_larger_that_fits():
    buckets = Buckets(resolutions=[[320, 180], [1280, 720], [640, 360]])
    assert [buckets.of(*size, frames=1, fps=10).bucket_width for size in ((4000, 2000), (1279, 719), (320, 180))] == [
        1280,
        640,
        320,
    ]


def test_the_nearest_aspect_ratio_counts_alike_in_both_directions():
    buckets = Buckets(aspect_ratios=[0.5, 1, 2])
    ratios = {
        size: buckets.of(*size, frames=1, fps=10).bucket_aspect_ratio for size in ((139, 100), (142, 100), (100, 142))
    }
    assert ratios == {
        (139, 100): 1,
        (142, 100): 2,
        (100, 142): 0.5,
    }  # the middle between 1 and 2 is their mean by ratio


@pytest.mark.parametrize(
    ("rule", "frames", "expected"),
    [
        ("4n+1", 100, 97),
        ("4n+1", 97, 97),
        ("4n+1", 96, 93),
        ("4n+1", 5, 5),
        ("4n+1", 4, None),
        ("8n+1", 100, 97),
        ("8n+1", 96, 89),
        ("8n+1", 9, 9),
        ("8n+1", 8, None),
        ([33, 81, 49], 100, 81),
        ([33, 81, 49], 80, 49),
        ([33, 81, 49], 33, 33),
        ([33, 81, 49], 32, None),
    ],
)
def test_the_most_frames_that_a_clip_has(rule, frames, expected):
    bucket = Buckets(frames=rule).of(64, 48, frames, fps=10)
    assert (bucket and bucket.bucket_frames) == expected


def test_a_clip_that_lacks_one_of_two_is_in_no_bucket():
    buckets = Buckets(resolutions=SIZES, frames=[33])
    assert buckets.of(1280, 720, 40, 10) == Bucket(1280, 720, 1.778, 33)
    assert buckets.of(1280, 720, 32, 10) is None and buckets.of(100, 100, 40, 10) is None


def test_names_of_buckets():
    assert [bucket.name for bucket in (Bucket(832, 480, 1.733, 33), Bucket(832, 480, 1.733), Bucket())] == [
        "832x480x33",
        "832x480",
        "all",
    ]
    assert [Bucket(None, None, 1.778, 33).name, Bucket(bucket_frames=33).name] == ["1.778x33", "33"]


# --- captions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "short", "expected"),
    [
        (("text",), "Short.", ["Text."]),
        (("short",), "Short.", ["Short."]),
        (("short",), None, ["Text."]),
        (("short", "caption"), None, ["Caption."]),
        (("short", "caption", "text"), "Short.", ["Short.", "Caption.", "Text."]),
        (("caption", "short"), "Short.", ["Caption.", "Short."]),
    ],
)
def test_a_missing_caption_is_left_out_and_text_stands_in_for_all(tmp_path, order, short, expected):
    layout = Layout(tmp_path, tmp_path, ("train",), order, Buckets(), 1, ExitStack())
    row = {"text": "Text.", "caption": "Caption.", "caption_short": short, "text_source": "rewritten"}
    assert layout.texts(row) == expected
    assert layout.texts({**row, "text_source": "reviewed"}) == ["Text."]


# --- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "parts"),
    [
        ({"formats": ["easyanimte"]}, ["export.formats: 'easyanimte' is no format; did you mean `easyanimate`?"]),
        ({"formats": ["tfrecord"]}, ["'tfrecord' is no format; choose from: easyanimate, jsonl, parquet"]),
        ({"formats": []}, ["export.formats: []"]),
        ({"formats": ["jsonl", "jsonl"]}, ["export.formats:", "non-unique"]),
        ({"captions": []}, ["export.captions: []"]),
        ({"captions": ["dense"]}, ["export.captions.0: 'dense' is not one of: text, caption, short"]),
        ({"validation_share": 1}, ["export.validation_share: 1 is out of range, it must be less than 1"]),
        ({"validation_share": -0.1}, ["export.validation_share: -0.1 is out of range, it must be at least 0"]),
        ({"tar_megabytes": 0}, ["export.tar_megabytes: 0 is out of range"]),
        (
            {"buckets": {"resolutions": [[832, 480]], "aspect_ratios": [1], "frames": None}},
            [
                "export.buckets: resolutions have aspect ratios of their own",
                "set `resolutions` or `aspect_ratios` to null",
            ],
        ),
        (
            {"buckets": {"resolutions": [[832]], "aspect_ratios": None, "frames": None}},
            ["export.buckets.resolutions.0"],
        ),
        ({"buckets": {"resolutions": [], "aspect_ratios": None, "frames": None}}, ["export.buckets.resolutions: []"]),
        (
            {"buckets": {"resolutions": None, "aspect_ratios": None, "frames": "6n+1"}},
            ["export.buckets.frames: '6n+1' is none of: 4n+1, 8n+1, a list, as [a, b], null"],
        ),
        ({"card": {"title": None, "license": "", "language": None}}, ["export.card.license: must not be empty"]),
        ({"shards": 3}, ["export.shards: unknown key"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(section, parts):
    config = {**CONFIG, "videos": "videos", "export": {**CONFIG["export"], **section}}
    with pytest.raises(SetupError) as caught:
        check_config(config, SCHEMA)
    (line,) = str(caught.value).split("\n")
    assert all(part in line for part in parts), line
