"""The dataset card: valid for the hub, true to the clips, and proof against what users write."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard
from made_exports import CONFIG, Clip, Export

from clipmill.dataset import formats
from clipmill.dataset.formats.assign import SPLITS
from clipmill.dataset.formats.card import MOST_ROWS, Numbers, in_markdown, write_card
from clipmill.dataset.summary import as_text
from clipmill.store import tables

pytestmark = pytest.mark.torch  # for huggingface-hub, which reads the card

CARD = CONFIG["export"]["card"]
NASTY = '<script>alert(1)</script> | "><img onerror=x> [a](b) `c` *d* _e_\n# head\n---\nlicense: mit'


def card_of(export: Export) -> DatasetCard:
    return DatasetCard((export.dataset / "README.md").read_text(encoding="utf-8"))


def clips(count: int, **more) -> list[Clip]:
    return [Clip(f"v{number}", 0, **more) for number in range(count)]


def test_the_front_matter_is_what_the_hub_reads(tmp_path):
    export = Export(tmp_path, clips(3))
    export.run("hf-videofolder", card={"title": "Cats", "license": "cc-by-4.0", "language": "en"})
    card = card_of(export)
    data = card.data
    assert (data.license, data.pretty_name, data.language) == ("cc-by-4.0", "Cats", ["en"])
    assert (data.task_categories, data.size_categories) == (["text-to-video"], ["n<1K"])
    assert data.to_dict()["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "hf-videofolder/train/**"}]}
    ]
    assert card.text.lstrip().startswith("# Cats\n")


def test_what_nobody_knows_is_not_claimed(tmp_path):
    export = Export(tmp_path, clips(3))
    export.run("easyanimate")
    data = card_of(export).data
    assert (data.license, data.pretty_name, data.language) == ("unknown", None, None)
    assert data.to_dict()["configs"][0]["data_files"] == [
        {"split": "train", "path": ["metadata.parquet", "clips/**/*.mp4"]}
    ]


def test_it_is_valid_without_a_clip(tmp_path):
    export = Export(tmp_path, clips(1))
    export.settings = {
        "late": {"checks": {**dict.fromkeys(CONFIG["text_checks"]), "min_words": 1000}, "filters": {}, "order": []}
    }
    export.run(*formats.FORMATS, validation_share=0.5)
    card = card_of(export)
    assert "configs" not in card.data.to_dict()
    assert "**There is no clip in this set: nothing below can be loaded.**" in card.text
    assert "0 video clips with captions, 0 s, from 0 videos" in card.text


def test_an_empty_split_is_told(tmp_path):
    export = Export(tmp_path, clips(2))
    export.run("hf-videofolder", validation_share=1e-9)
    text = card_of(export).text
    assert "| train | 2 | 8.0 s |\n| validation | 0 | 0 s |\n" in text
    assert "**The split `validation` has no clip" in text and "**The split `train`" not in text
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["splits"] == {"train": 2, "validation": 0}
    lines = as_text(summary, tmp_path).splitlines()
    place = lines.index("  splits   2 train, 0 validation")
    assert "no clip is in validation" in lines[place + 1] and "export.seed" in lines[place + 1]
    export.run("hf-videofolder")
    assert "has no clip" not in card_of(export).text
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["splits"] == {"train": 2} and "splits" not in as_text(summary, tmp_path)


def row(**more) -> dict:
    known = {"split": "train", "video_id": "v", "cut_seconds": 4.5, "cut_width": 64, "cut_height": 48, "cut_fps": 25.0}
    known |= {"cut_sound": False, "fps": 25.0}
    bucket = dict.fromkeys(("bucket_width", "bucket_height", "bucket_aspect_ratio", "bucket_frames"))
    return {**known, **bucket, "text": "A cat.", **more}


@pytest.mark.parametrize(
    ("count", "size"),
    [(1, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (9999, "1K<n<10K"), (10_000, "10K<n<100K"), (10**6, "1M<n<10M")],
)
def test_sizes_are_told_in_the_hubs_words(count, size):
    numbers = Numbers(SPLITS[:1])
    numbers.clips["train"] = count
    assert f"- {size}\n" in write(numbers)


def write(numbers: Numbers, models: list | None = None, **settings) -> str:
    known = {
        "export": {"card": CARD, "text_prefix": "", "text_suffix": ""},
        "late": {"checks": CONFIG["text_checks"]},
        "filters": CONFIG["filters"],
        "thresholds": {},
    }
    chosen = {"easyanimate": formats.FORMATS["easyanimate"]}
    return write_card(numbers, chosen, {**known, **settings}, models or [], {})


def test_distributions_are_counted(tmp_path):
    numbers = Numbers(SPLITS[:1])
    numbers.shard(
        [
            row(camera="pan_left"),
            row(cut_seconds=4.99, video_id="w"),
            row(cut_seconds=5.0, cut_fps=29.97003, text="cat " * 30),
        ]
    )
    numbers.shard([row(split="validation", video_id="x", cut_width=128)])
    assert numbers.videos == 3 and numbers.clips == {"train": 3, "validation": 1}
    assert numbers.spreads() == {
        "Duration": [("4 to 5 s", 3), ("5 to 6 s", 1)],
        "Resolution": [("64 × 48", 3), ("128 × 48", 1)],
        "Frames a second": [("25", 3), ("29.97", 1)],
        "Words of the text": [("0 to 24", 3), ("25 to 49", 1)],
        "Camera": [("pan left", 1), ("unknown", 3)],
    }
    text = write(numbers)
    assert "| train | 3 | 14 s |\n| validation | 1 | 4.5 s |\n" in text
    assert "| 64 × 48 | 3 |\n| 128 × 48 | 1 |\n" in text


def test_clips_that_show_frames_twice_are_counted(tmp_path):
    """Of 12.5 frames per second at 16, not of 23.976 at 24, nor of files of fewer frames."""
    rates = [(12.5, 16.0), (23.976, 24.0), (25.0, 25.0), (30.0, 16.0)]
    rows = [row(fps=fps, cut_fps=cut_fps) for fps, cut_fps in rates]
    numbers = Numbers(SPLITS[:1])
    numbers.shard(rows)
    assert "**1 of the 4 clips show some frames twice**" in write(numbers)
    assert "twice" not in write(Numbers(SPLITS[:1]))


def test_the_summary_counts_clips_that_show_frames_twice(tmp_path):
    export = Export(tmp_path, [Clip("v", 0, rate=Fraction(16)), Clip("v", 4000, rate=Fraction(10))])
    export.run()
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["cuts"]["frames_twice"] == 1
    assert "1 file shows some frames twice" in as_text(summary, tmp_path)


def test_a_long_distribution_is_cut(tmp_path):
    numbers = Numbers(SPLITS[:1])
    numbers.shard([row(cut_width=100 + width) for width in range(50)] + [row(cut_width=1)] * 9)
    rows = numbers.spreads()["Resolution"]
    assert len(rows) == MOST_ROWS + 1
    assert rows[0] == ("1 × 48", 9) and rows[-1] == ("others", 50 - MOST_ROWS + 1)


def test_the_hours_of_sound_and_of_speech():
    """Only of clips whose files have sound, however much is spoken in their videos, and not of silent tracks."""

    def said(*clips: dict) -> str:
        numbers = Numbers(SPLITS[:1])
        numbers.shard([row(cut_seconds=1800.0, **clip) for clip in clips])
        return next(line for line in write(numbers).splitlines() if line.startswith(("No clip", "Clips of")))

    half, unknown = {"cut_sound": True, "speech_share": 0.5}, {"cut_sound": True}
    without, added = {"cut_sound": False, "speech_share": 1.0}, {"cut_sound": True, "has_sound": False}
    assert said(without) == said(added) == "No clip has sound."
    assert said(half, half, without, added) == "Clips of 1 h have sound. Somebody speaks for 30 min of it."
    assert said(unknown, without).endswith("In how much of it somebody speaks was not measured.")
    assert said(half, unknown).endswith("for 15 min of it, as far as this was measured: in 30 min.")


def test_promises_that_do_not_hold_are_counted_and_no_others():
    numbers = Numbers(SPLITS[:1])
    holds = {one.name: True for one in tables.PROMISES}
    numbers.shard([row(**holds), row(**{**holds, "sdr": False}), row(**{**holds, "sdr": False, "progressive": False})])
    numbers.shard([row(**dict.fromkeys(holds))])  # of an older clipmill: nobody knows
    text = write(numbers)
    lines = text.partition("## What does not hold")[2].partition("\n## ")[0].splitlines()
    rows = [line for line in lines if line.startswith("| ") and "---" not in line][1:]
    assert [line.split(" | ")[:2] for line in rows] == [["| sdr", "2"], ["| progressive", "1"]]
    numbers = Numbers(SPLITS[:1])
    numbers.shard([row(**holds)])
    assert "What does not hold" not in write(numbers)


def test_buckets_are_told_where_there_are_any():
    numbers = Numbers(SPLITS[:1])
    numbers.shard([row(bucket_frames=33), row()])
    assert numbers.spreads()["Bucket"] == [("33", 1), ("none", 1)]


def test_filters_in_force_are_told_with_what_quantiles_came_to():
    filters = {
        "motion": {"min": 0.8, "max": None},
        "area": {"min": None, "max": None},
        "aesthetic": {"min": "q0.3", "max": 9},
    }
    resolved = {"aesthetic": {"min": {"quantile": 0.3, "clips": 10, "value": 4.25}}}
    text = write(Numbers(SPLITS[:1]), filters=filters, thresholds=resolved)
    assert "| motion | 0.8 |  |\n| aesthetic | 4.25 (q0.3) | 9 |\n".replace("(q0.3)", "\\(q0.3\\)") in text
    assert "| area |" not in text
    assert "min\\_words 5" in text and "refusals" in text


def test_models_are_told_with_their_licences():
    model = {
        "step": "aesthetic",
        "backend": "laion",
        "model": "a/b_c",
        "revision": "1",
        "licence": "MIT",
        "columns": [],
    }
    assert "| aesthetic | laion | a/b\\_c | 1 | MIT |\n" in write(Numbers(SPLITS[:1]), [model])
    assert "No model was used" in write(Numbers(SPLITS[:1]))


def test_what_users_write_is_text(tmp_path):
    model = {"step": NASTY, "backend": NASTY, "model": NASTY, "revision": NASTY, "licence": NASTY, "columns": []}
    filters = {NASTY: {"min": NASTY, "max": None}}
    about = {"title": NASTY, "license": NASTY, "language": NASTY}
    export = {"card": about, "text_prefix": NASTY, "text_suffix": NASTY}
    text = write(Numbers(SPLITS[:1]), [model], filters=filters, export=export)
    card = DatasetCard(text)
    assert card.data.license == card.data.pretty_name == NASTY
    assert "<script" not in card.text and "<img" not in card.text
    assert not re.search(r"^# head|^---", card.text, re.MULTILINE)
    assert len(re.findall(r"^# ", card.text, re.MULTILINE)) == 1
    for line in card.text.splitlines():
        if line.startswith("| &lt;script"):  # no cell is opened by a value
            assert len(re.findall(r"(?<!\\)\|", line)) in (4, 6)


def test_markdown_is_escaped_and_numbers_stay_readable():
    assert in_markdown("a|b_c*`<x>\n#d[e](f)!~\\") == "a\\|b\\_c\\*\\`&lt;x&gt; \\#d\\[e\\]\\(f\\)\\!\\~\\\\"
    assert in_markdown(29.97) == "29.97" and in_markdown("832x480-x.y") == "832x480-x.y"


@pytest.mark.parametrize("name", formats.FORMATS)
def test_it_says_how_each_format_is_loaded_and_so_does_the_documentation(tmp_path, name):
    export = Export(tmp_path, clips(1))
    export.run(name)
    made = formats.FORMATS[name]
    text = (export.dataset / "README.md").read_text(encoding="utf-8")
    assert f"{made.title}:\n\n```{made.language}\n{made.load}\n```\n" in text
    documented = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    assert f"| `{name}` |" in documented
    assert made.load in documented
