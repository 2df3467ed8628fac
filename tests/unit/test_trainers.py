"""What trainers see of exported datasets, by their own arithmetic: all clips of a bucket, at the right speed."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from made_exports import Clip, Export

from by_trainer import BY_BUCKET, by_ai_toolkit, by_diffusion_pipe, by_musubi_tuner, by_simpletuner, with_frames
from clipmill.shapes.counts import ladder, largest, of_buckets
from clipmill.shapes.rates import exact_rate
from default_config import CONFIG
from trainers import (
    File,
    ai_toolkit,
    diffusers_cogvideo,
    diffusion_pipe,
    finetrainers,
    musubi_tuner,
    videox_fun,
    videox_fun_with_sound,
)

pytestmark = pytest.mark.slow

NTSC = Fraction(1000, 1001)
RATES = [Fraction(25, 2), 24 * NTSC, Fraction(24), Fraction(25), 30 * NTSC, Fraction(30), Fraction(50), 60 * NTSC]
LENGTHS = (2.1, 3.4, 5.0, 5.07, 8.04, 10.0)  # seconds
COUNTS = ([33, 49, 81], "4n+1")
SIZE = (832, 480)
BUCKETS = {"resolutions": [[*SIZE], [480, 832]], "aspect_ratios": None, "frames": [33, 49, 81], "fps": None}


def made(outdir: Path, clips: list[Clip]) -> tuple[Export, dict[str, File]]:
    return Export(outdir, clips), {clip.id: File(clip.frames, clip.rate, clip.size, clip.codec) for clip in clips}


def of_all_rates(rates: list[Fraction] = RATES) -> list[Clip]:
    """Clips of many lengths, at each rate."""
    return [
        Clip(f"v{number}", place * 20_000, size=SIZE, rate=rate, frames=int(seconds * rate))
        for number, rate in enumerate(rates)
        for place, seconds in enumerate(LENGTHS)
    ]


# --- files that are as the trainer wants them -------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [Fraction(16), Fraction(24), Fraction(25), Fraction(30)])
@pytest.mark.parametrize("set_rate", [False, True])
@pytest.mark.parametrize("name", BY_BUCKET)
def test_files_at_the_models_rate_and_count_are_trained_as_they_are(tmp_path, name, rate, set_rate):
    clips = [
        Clip(f"v{count}", at * 20_000, size=SIZE, rate=rate, frames=count) for count in (33, 49, 81) for at in (0, 1)
    ]
    export, files = made(tmp_path, clips)
    dataset = export.run(name, buckets=BUCKETS | {"fps": float(rate) if set_rate else None})
    seen = BY_BUCKET[name](dataset, files, rate)
    assert seen.keys() == files.keys()
    for clip, trained in seen.items():
        assert trained and trained.is_whole(files[clip]) and trained.speed(files[clip]) == 1
        assert trained.size in (SIZE, None) and trained.scaled in (SIZE, None), "nothing is scaled or cropped"


@pytest.mark.parametrize("rate", [Fraction(16), Fraction(24)])
@pytest.mark.parametrize("name", with_frames(81, SIZE))
def test_and_so_they_are_by_trainers_with_one_number_of_frames(tmp_path, name, rate):
    clips = [Clip("v", at * 20_000, size=SIZE, rate=rate, frames=81) for at in range(3)]
    export, files = made(tmp_path, clips)
    seen = with_frames(81, SIZE)[name](export.run(name), files, rate)
    assert seen.keys() == files.keys()
    for clip, trained in seen.items():
        assert trained and trained.is_whole(files[clip]) and trained.speed(files[clip]) == 1


def test_upright_files_keep_their_shape(tmp_path):
    export, files = made(tmp_path, [Clip("v", size=(480, 832), rate=Fraction(16), frames=81)])
    for name, trainer in BY_BUCKET.items():
        (seen,) = trainer(export.run(name, buckets=BUCKETS), files, Fraction(16)).values()
        assert seen.size in ((480, 832), None)


TARGETS = Path(__file__).resolve().parents[2] / "config" / "presets" / "targets"


@pytest.mark.parametrize("path", sorted(TARGETS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_clip_of_a_target_is_taken_whole_by_each_of_its_trainers(tmp_path, path):
    target = yaml.safe_load(path.read_text())
    cut, export = target["cut"], target["export"]
    buckets = CONFIG["export"]["buckets"] | export.get("buckets", {})
    rate, shapes = exact_rate(cut["fps"]), buckets["resolutions"] or [[720, 480]]
    shapes = [(shape, count) for shape in shapes for count in cut["frames"]]
    clips = [
        Clip(f"v{place}", size=tuple(shape), rate=rate, frames=count) for place, (shape, count) in enumerate(shapes)
    ]
    made_export, files = made(tmp_path, clips)
    dataset = made_export.run(*export["formats"], **{**export, "buckets": buckets})
    tried = 0
    for name in export["formats"]:
        for count, shape in {(count, tuple(shape)) for shape, count in shapes}:
            trainer = (BY_BUCKET | with_frames(count, shape)).get(name)
            for clip in made_export.clips if trainer else ():
                if clip.frames == count and clip.size == shape:
                    trained = trainer(dataset, files, rate)[clip.id]
                    assert trained and trained.is_whole(files[clip.id]), f"{name}: {clip}"
                    assert trained.speed(files[clip.id]) == 1 and trained.size in (shape, None)
                    tried += 1
    assert tried


# --- files at other rates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("rate", [Fraction(16), Fraction(24), Fraction(25)])
def test_diffusion_pipe_takes_every_clip_of_a_bucket_as_that_bucket(tmp_path, rate, counts):
    export, files = made(tmp_path, of_all_rates())
    dataset = export.run("diffusion-pipe", buckets=BUCKETS | {"frames": counts, "fps": float(rate)})
    seen = by_diffusion_pipe(dataset, files, rate)
    buckets = {clip: row["bucket_frames"] for clip, row in export.rows().items() if row["bucket_frames"]}
    assert seen.keys() == buckets.keys() and len(buckets) > 30
    for clip, trained in seen.items():
        assert trained and trained.size == SIZE
        assert len(trained.indices) == buckets[clip]
        longer = max(1 / rate, 1 / files[clip].rate)
        assert trained.drift(files[clip]) / files[clip].rate < 2 * longer, "it stretches the clip by less than a frame"


@pytest.mark.parametrize("counts", COUNTS, ids=str)
@pytest.mark.parametrize("rate", [Fraction(16), Fraction(24), Fraction(30)])
def test_musubi_tuner_takes_every_clip_that_it_is_given(tmp_path, rate, counts, caplog):
    export, files = made(tmp_path, of_all_rates())
    dataset = export.run("musubi-tuner", buckets=BUCKETS | {"frames": counts, "fps": float(rate)})
    seen = by_musubi_tuner(dataset, files, rate)
    buckets = {clip: row["bucket_frames"] for clip, row in export.rows().items() if row["bucket_frames"]}
    slow = {clip for clip in buckets if files[clip].rate < rate * NTSC}
    assert seen.keys() == buckets.keys() - slow and len(seen) > 10
    assert (f"musubi-tuner: {len(slow)} clips left out" in caplog.text) == bool(slow)
    for clip, trained in seen.items():
        assert trained and len(trained.indices) == buckets[clip]
        assert trained.drift(files[clip]) < 1.01, "each frame is one of the two that are nearest in time"
        assert trained.size == SIZE, "what is cached has the size that the TOML names"


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_without_the_rate_diffusion_pipe_takes_what_is_long_enough_at_all(tmp_path, counts):
    export, files = made(tmp_path, of_all_rates())
    dataset = export.run("diffusion-pipe", buckets=BUCKETS | {"frames": counts})
    for clip, trained in by_diffusion_pipe(dataset, files, Fraction(16)).items():
        counted = int(files[clip].frames * 16 / files[clip].rate)
        wanted = max((one for one in ladder(of_buckets(counts), counted)), default=None)
        assert (trained and len(trained.indices)) == wanted


@pytest.mark.parametrize("fps", [16, 24])
def test_ai_toolkit_takes_all_at_about_the_right_speed(tmp_path, fps):
    export, files = made(tmp_path, of_all_rates())
    dataset = export.run("ai-toolkit", buckets=BUCKETS | {"fps": fps})
    for clip, trained in by_ai_toolkit(dataset, files, Fraction(fps)).items():
        assert 0.5 < trained.speed(files[clip]) < 2  # every n-th frame, n rounded; or spread, if there are too few


def test_simpletuner_skips_none_that_it_is_given(tmp_path, caplog):
    export, files = made(tmp_path, of_all_rates())
    seen = by_simpletuner(export.run("simpletuner", buckets=BUCKETS | {"fps": 16}), files, Fraction(16))
    assert seen and all(seen.values())
    assert "simpletuner: 2 clips left out" in caplog.text, "of 12.5 frames per second, counted at 16"


def test_ltx_trainer_and_finetrainers_take_all_that_fit_a_bucket(tmp_path):
    export, files = made(tmp_path, of_all_rates())
    for name in ("ltx-trainer", "finetrainers"):
        dataset = export.run(name, buckets=BUCKETS)
        seen = BY_BUCKET[name](dataset, files, Fraction(24))
        for clip, row in export.rows().items():
            assert (seen[clip] is not None) == (row["bucket_frames"] is not None)
            assert seen[clip] is None or len(seen[clip].indices) == row["bucket_frames"]
            if seen[clip] and name == "ltx-trainer":
                assert seen[clip].speed(files[clip]) == 1, "it stores the rate of the file"


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_clips_that_fall_short_of_their_bucket_are_told(tmp_path, counts, caplog):
    export, _ = made(tmp_path, of_all_rates())
    dataset = export.run("jsonl", buckets=BUCKETS | {"frames": counts})
    card = (dataset / "README.md").read_text()
    for rate in (16, 24):
        short = sum(
            int(row["cut_frames"] * rate / row["cut_fps"] + 1e-4) < row["bucket_frames"]
            for row in export.rows().values()
            if row["bucket_frames"]
        )
        assert short
        assert f"at {rate} frames per second {short} of {len(export.clips)} clips have fewer frames" in caplog.text
        assert f"**At {rate} frames per second {short} clips have fewer frames than their bucket**" in card
    caplog.clear()
    export.run("jsonl", buckets=BUCKETS | {"frames": counts, "fps": 16})
    export.settings = {"fps": 24}
    dataset = export.run("jsonl", buckets=BUCKETS | {"frames": counts})
    assert "fewer frames than their bucket" not in caplog.text + (dataset / "README.md").read_text()


def test_a_rule_has_an_upper_bound():
    """A clip of 10 s and 60 frames per second is in no bucket of 597 frames."""
    assert [largest(of_buckets(rule), 600) for rule in ("4n+1", "8n+1")] == [129, 257]
    assert largest("4n+1", 600) == 597 and largest("4n+1", 4) is None
    assert ladder("4n+1", 20) == [5, 9, 13, 17] and ladder([81, 33, 49], 60) == [33, 49]


# --- the rules themselves, in cases that were seen with the trainers --------------------------------------------------


def test_musubi_tuner_as_it_was_seen():
    section = {"resolution": [*SIZE], "target_frames": [81], "frame_extraction": "head"}
    fast = File(300, Fraction(60))
    assert musubi_tuner(fast, section, 16).speed(fast) == pytest.approx(16 / 60)  # frame by frame: slow motion
    assert musubi_tuner(fast, {**section, "source_fps": 60.0}, 16) is None  # 80 frames at 16
    longer = File(304, Fraction(60))
    assert musubi_tuner(longer, {**section, "source_fps": 60.0}, 16).speed(longer) == pytest.approx(1, abs=0.02)
    slow = File(300, Fraction(25, 2))
    assert musubi_tuner(slow, {**section, "source_fps": 12.5}, 16) is None  # of any length
    same = File(81, Fraction(16))
    assert musubi_tuner(same, {**section, "source_fps": 16.0}, 16).is_whole(same)
    wide = File(81, Fraction(16), (1920, 800))
    assert musubi_tuner(wide, section, 16).size == (992, 400), "its own bucket, whatever the TOML says"


def test_diffusion_pipe_as_it_was_seen():
    top = {"resolutions": [512], "enable_ar_bucket": True, "ar_buckets": [1.778], "frame_buckets": [1, 81]}
    assert diffusion_pipe(File(125, Fraction(25)), {}, top, 16) is None  # 5.0 s count as 80
    assert len(diffusion_pipe(File(125, Fraction(25)), {"frame_buckets": [1, 33, 81]}, top, 16).indices) == 33
    same = File(81, Fraction(16))
    assert diffusion_pipe(same, {}, top, 16).is_whole(same)


def test_others_as_they_were_seen():
    longer = File(162, Fraction(16))
    dataset = {"video_resolution_buckets": [[81, 480, 832]], "reshape_mode": "resize_crop"}
    assert finetrainers(longer, dataset, Fraction(16)).speed(longer) == pytest.approx(2, abs=0.02)
    assert ai_toolkit(longer, {"num_frames": 81, "resolution": [632]}, Fraction(16)).speed(longer) > 1.9
    assert diffusers_cogvideo(longer, Fraction(16), 81).speed(longer) == 2
    av1 = File(81, Fraction(16), codec="av1")
    video = {"type": "video"}
    assert finetrainers(av1, dataset, Fraction(16)) is videox_fun(av1, video, 81, 1, Fraction(16)) is None
    sound = {**video, "audio_path": "a.wav"}
    assert videox_fun_with_sound(File(121, Fraction(24)), sound, 121 / 24, 121)
    assert videox_fun_with_sound(File(121, Fraction(24)), sound, 120 / 24 - 0.072, 121) is None
    assert videox_fun_with_sound(File(121, Fraction(24)), video, 121 / 24, 121) is None
