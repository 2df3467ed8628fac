"""The numbers of a plan: hours from a sample, clips and jobs that are left, rates, and how they are told."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import pytest

from clipmill.base.errors import ItemError
from clipmill.base.human import duration
from clipmill.captions.describe import Describe
from clipmill.captions.rules import Rules
from clipmill.decode.video import EASYANIMATE, DecodeSettings, decode_key
from clipmill.demo import render
from clipmill.inputs.discovery import update_index
from clipmill.models import backends
from clipmill.plan import rates
from clipmill.plan.headers import HeaderSample, Video, carried_over, estimate, read_header
from clipmill.plan.plan import make_plan
from clipmill.plan.text import as_text
from clipmill.steps import BY_NAME, CLIP, KEPT, METRICS, STEPS, of_run
from clipmill.store import benchmarks, tables
from clipmill.store.benchmarks import Benchmark
from clipmill.store.index import read_json_lines, shards_to_fetch
from clipmill.store.layout import Paths
from default_config import CONFIG, CUT_SETTINGS, SPLIT_SETTINGS
from made_archives import make_tar

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
FPS = 10
START = 0.25  # seconds of the jobs that are finished


def settings(**changes) -> dict:
    """What the rules give for the default config; `changes`: sections of steps."""
    config = CONFIG | {step: CONFIG[step] | section for step, section in changes.items()}
    steps = {
        step: backends.settings(step, config[step], REPOSITORY / "config" / "prompts")
        for step in backends.AVAILABLE
        if step != "judge"
    }
    return {
        "decode": CONFIG["decode"],
        "split": SPLIT_SETTINGS,
        "cut": CUT_SETTINGS,
        "steps": steps,
        "resources": {
            step: {"threads": 1, "gpu": backends.entry(step, made["backend"]).gpus} for step, made in steps.items()
        }
        | {step: {"threads": 2, "gpu": 0} for step in ("decode", "cut")},
        "clips_per_caption_job": None,
        "quantiles": [],
        "dataset": [],
        "videos_per_shard": "auto",
        "score_jobs": {f"score_{metric}": [metric] for metric in METRICS},
        "workers": {"cores": 2, "cluster_jobs": None},
    }


def video(path: Path, seconds: float, picture: str = "coffee.png") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = render.still(render.photograph(picture), (64, 48), seconds, FPS)
    render.encode(path, frames, (64, 48), FPS)
    return path


# --- hours ------------------------------------------------------------------------------------------------------------


def test_a_sample_is_the_same_in_any_order():
    names = [f"{number}.mp4" for number in range(1000)]
    samples = []
    for seed in (1, 2):
        random.Random(seed).shuffle(names)
        sample = HeaderSample(50)
        for name in names:
            sample.add(name, 3, name)
        samples.append(sample.drawn)
        assert (sample.videos, sample.bytes) == (1000, 3000)
    assert samples[0] == samples[1] == sorted(samples[0])
    assert len(set(samples[0])) == 50
    assert samples[0] != sorted(names)[:50]


def test_all_headers_give_the_sum():
    assert carried_over([(10, 1.0), (500, 2.0), (3, 9.0)], 3, 513) == (12.0, 0.0)
    assert carried_over([], 0, 0) == (0.0, 0.0)


def test_equal_videos_are_exact_from_any_sample():
    seconds, error = carried_over([(100, 7.0)] * 5, 1000, 100_000)
    assert seconds == pytest.approx(7000)
    assert error == pytest.approx(0, abs=1e-12)


def test_the_error_that_is_told_is_that_of_samples():
    """In about 95 of 100 samples the truth lies within it; videos have 0.5 to 2 bytes a second."""
    chance = random.Random(5)
    videos = [
        (round(length * chance.uniform(0.5, 2) * 1000), length)
        for length in [chance.uniform(10, 600) for _ in range(2000)]
    ]
    truth, size = sum(length for _, length in videos), sum(size for size, _ in videos)
    inside = 0
    for _ in range(300):
        seconds, error = carried_over(chance.sample(videos, 100), len(videos), size)
        inside += abs(seconds - truth) <= error * seconds
    assert 0.9 <= inside / 300 <= 0.99


def test_what_cannot_be_known_is_not_a_number():
    assert all(map(math.isnan, carried_over([], 3, 100)))
    seconds, error = carried_over([(10, 5.0)], 4, 80)
    assert seconds == 40
    assert math.isnan(error)


def test_a_broken_header_costs_itself(tmp_path):
    good = [video(tmp_path / f"{name}.mp4", 2) for name in "ab"]
    assert read_header(good[0]).seconds == pytest.approx(2)
    broken = tmp_path / "c.mp4"
    broken.write_bytes(good[0].read_bytes()[:500])
    with pytest.raises(ItemError, match="not a readable video"):
        read_header(broken)
    playlist = tmp_path / "d.mp4"
    playlist.write_text(f"#EXTM3U\n{good[0]}\n")
    sample = HeaderSample(10)
    for path in [*good, broken, playlist, tmp_path / "gone.mp4"]:
        sample.add(path.name, path.stat().st_size if path.exists() else 9, Video(path.name, str(path), 1))
    hours = estimate(sample)
    assert hours.seconds == pytest.approx(4)
    assert hours.error == 0
    assert hours.unreadable == ("c.mp4", "d.mp4", "gone.mp4")
    assert hours.lines == 48


# --- a plan -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def outdir(tmp_path: Path) -> Path:
    """Twelve videos of three seconds in shards of two, of which nothing is done."""
    first = video(tmp_path / "videos" / "00.mp4", 3).read_bytes()
    for number in range(1, 12):
        (tmp_path / "videos" / f"{number:02d}.mp4").write_bytes(first)
    update_index(tmp_path / "videos", tmp_path / "out", 2)
    return tmp_path / "out"


def finish(
    outdir: Path,
    shard: str,
    seconds: float = 3.0,
    clips: int = 4,
    kept: int = 3,
    took: float = 8.0,
    target_frames: int | None = None,
) -> None:
    """Write the tables, logs and benchmarks of one shard's jobs."""
    decode = DecodeSettings(**CONFIG["decode"])
    videos = read_json_lines(Paths(outdir).shard(shard))
    rows = [{"video_id": one["video_id"], "decode_key": decode_key(one, decode), "seconds": seconds} for one in videos]
    names = [f"{shard}-{number}" for number in range(clips)]
    made = settings()
    about = {step: made["steps"][step] for step in (*METRICS, "alignment")}
    about |= {"caption": Describe.about, "rewrite": Rules.about}
    about |= {step: {"settings": made[step]} for step in ("decode", "cut")}
    for step in STEPS:
        for table in step.tables:
            content = [{"clip_id": name} for name in names]
            if table is tables.VIDEOS:
                content = rows
            elif table in (tables.PARTS, tables.TRANSITIONS):
                content = []
            elif table is tables.CLIPS:
                content = [{"clip_id": name, "unfit": None, "seconds": 1.25} for name in names]
                content += [{"clip_id": "x", "unfit": "too_short", "seconds": 0.5}]
                content = [{**clip, "target_frames": target_frames} for clip in content]
            elif table is tables.VERDICTS:
                content = [{"clip_id": name, "kept": n < kept, "seconds": 2.0} for n, name in enumerate(names)]
            elif table is tables.CUTS:
                content = [{"clip_id": name, "cut_bytes": 1000} for name in names[:kept]]
            table.write(table.of(outdir, shard), content, about.get(step.name))
        measure(outdir, step.name, shard, took)


def measure(outdir: Path, folder: str, name: str, took: float, whole: bool = True) -> None:
    """A job on one core, or on two if it decodes or cuts, that took `took` seconds and a quarter of one to start."""
    threads = 2 if folder in ("decode", "cut") else 1
    benchmarks.write(Paths(outdir).benchmark(folder, name), Benchmark(took + START, took, START, threads, 100.0, whole))


def by_rule(plan: dict) -> dict[str, dict]:
    return {rule["rule"]: rule for rule in plan["rules"]}


def test_a_first_plan_goes_by_the_documented_rates(outdir):
    plan = make_plan(outdir, settings(), sample=200)
    assert plan["videos"]["count"] == plan["videos"]["to_decode"] == 12
    assert plan["videos"]["bytes"] == 12 * (outdir.parent / "videos" / "00.mp4").stat().st_size
    assert plan["hours"]["to_decode"] == pytest.approx(36 / 3600)
    assert plan["hours"]["error"] == 0
    rules = by_rule(plan)
    assert {name: rule["jobs"] for name, rule in rules.items()} == {
        "check_embedded": 1,
        **{step.rule: 6 for step in STEPS},
        "export_dataset": 1,
        "write_report": 1,
    }
    documented = [step.rule for step in STEPS if any(name == step.name for name, _ in rates.DOCUMENTED)]
    assert {rules[name]["rate_from"] for name in ("check_embedded", *documented)} == {rates.SOURCE}
    seconds, start = rates.DOCUMENTED["decode", ""]
    starts = 6 * 2 * start  # each of two cores
    assert rules["decode_videos"]["core_hours"] == pytest.approx((0.01 * seconds + starts) / 3600, abs=1e-6)
    assert rules["decode_videos"]["start_hours"] == pytest.approx(starts / 3600, abs=1e-6)
    time = plan["time"]
    assert time["least"] == pytest.approx(time["seconds"] / 2, rel=0.01), "rates of another machine"
    assert time["most"] == pytest.approx(time["seconds"] * 2, rel=0.01)
    assert plan["clips"]["an_hour"] == pytest.approx(3600 / 6.5)
    assert plan["clips"]["an_hour_from"] == plan["clips"]["kept_share_from"] == "assumed"
    assert plan["disk"][2]["bytes_to_come"] == pytest.approx(plan["videos"]["bytes"])
    asked = {**settings(), "decode": {**CONFIG["decode"], EASYANIMATE: True}}
    slower = by_rule(make_plan(outdir, asked, sample=200))["decode_videos"]["core_hours"]
    seconds, _ = rates.DOCUMENTED["decode", EASYANIMATE]
    assert slower == pytest.approx((0.01 * seconds + starts) / 3600, abs=1e-6)
    assert not (outdir / "work" / "journals").exists()


def test_videos_in_archives_are_fetched_first(outdir):
    videos = outdir.parent / "videos"
    content = (videos / "00.mp4").read_bytes()
    make_tar(videos / "a.tar", [(f"{number:02d}.mp4", content) for number in range(39)] + [("x.mp4", b"no video")])
    update_index(videos, outdir, 20)
    fetching = {**settings(), "fetch": CONFIG["fetch"]}
    plan = make_plan(outdir, fetching, sample=200)
    size = 39 * len(content) + len(b"no video")
    assert plan["videos"]["bytes_to_fetch"] == size
    row = by_rule(plan)["fetch_videos"]
    shards = shards_to_fetch(outdir)
    assert (row["jobs"], row["of"], row["unit"]) == (len(shards), len(shards), "GB")
    assert row["amount"] == pytest.approx(size / 1e9, abs=1e-6)
    assert plan["not_measured"] == ["fetch_videos"]
    assert plan["hours"]["headers_asked"] == 12 + 14, "few of those in archives are read"
    assert plan["hours"]["to_decode"] == pytest.approx(51 * 3 / 3600, rel=0.2)
    assert " to fetch before that (counted)" in as_text(plan)
    for shard in shards:
        tables.FETCHES.write(tables.FETCHES.of(outdir, shard), [])
    done = make_plan(outdir, fetching, sample=0)
    assert (done["videos"]["bytes_to_fetch"], by_rule(done)["fetch_videos"]["jobs"]) == (0, 0)
    assert by_rule(done)["decode_videos"]["jobs"] == done["videos"]["shards"]
    first, *others = shards
    finish(outdir, first)
    measure(outdir, "fetch", first, took=2.0)
    for shard in others:
        tables.FETCHES.of(outdir, shard).unlink()
    row = by_rule(make_plan(outdir, fetching, sample=0))["fetch_videos"]
    bytes_of_first = sum(one["size_bytes"] for one in read_json_lines(Paths(outdir).shard(first)) if one.get("origin"))
    assert row["core_seconds_a_unit"] == pytest.approx(2.0 / (bytes_of_first / 1e9), rel=1e-6)
    assert (row["jobs"], row["rate_from"]) == (len(others), "measured here, 1 job")
    assert row["amount"] == pytest.approx((size - bytes_of_first) / 1e9, abs=1e-6)


def test_scenes_that_a_sheet_gives_are_counted(outdir):
    sheet = outdir.parent / "cuts.jsonl"
    rows = [{"path": "videos/00.mp4", "start": n / 2, "end": n / 2 + 0.25} for n in range(4)]
    sheet.write_text("".join(json.dumps(row) + "\n" for row in rows))
    update_index(sheet, outdir.with_name("lists"))
    given = settings() | {"split": SPLIT_SETTINGS | {"detector": "given"}}
    plan = make_plan(outdir.with_name("lists"), given, sample=200)
    assert (plan["clips"]["expected"], plan["clips"]["an_hour_from"]) == (4, "counted")
    clip_bytes = (outdir.parent / "videos" / "00.mp4").stat().st_size / 3 * 0.25
    assert plan["disk"][2]["bytes_to_come"] == pytest.approx(4 * clip_bytes)
    assert "clips    4 that the sheet gives (counted)" in as_text(plan)


def test_a_small_sample_of_equal_videos_is_right(outdir):
    hours = make_plan(outdir, settings(), sample=3)["hours"]
    assert hours["headers_asked"] == 3
    assert hours["to_decode"] == pytest.approx(36 / 3600)
    assert hours["error"] == pytest.approx(0)


def test_what_is_done_is_counted_and_what_is_left_goes_by_it(outdir):
    for shard in ("000000", "000001"):
        finish(outdir, shard)
    plan = make_plan(outdir, settings(), sample=200)
    assert (plan["videos"]["decoded"], plan["videos"]["to_decode"]) == (4, 8)
    assert plan["hours"]["decoded"] == pytest.approx(12 / 3600, abs=1e-6)
    clips = plan["clips"]
    assert (clips["found"], clips["unfit"], clips["kept"], clips["kept_share"]) == (10, 2, 6, 0.75)
    assert "2 of the 10 are unfit (too short, frozen …)" in as_text(plan)
    assert clips["an_hour"] == pytest.approx(8 / 12 * 3600)
    assert (clips["expected"], clips["expected_kept"]) == (pytest.approx(16), pytest.approx(12))
    rules = by_rule(plan)
    assert {rules[step.rule]["jobs"] for step in STEPS} == {4}
    assert rules["decode_videos"]["core_seconds_a_unit"] == pytest.approx(16 * 2 / (12 / 3600))  # two cores a job
    assert rules["score_text"]["core_seconds_a_unit"] == pytest.approx(16 / 8)
    assert rules["score_text"]["core_hours"] == pytest.approx((16 * 2 + 4 * START) / 3600, abs=1e-6)
    assert rules["score_text"]["start_hours"] == pytest.approx(4 * START / 3600, abs=1e-6)
    assert rules["score_text"]["seconds_a_start"] == START
    assert rules["score_text"]["error"] == pytest.approx(0), "both jobs took as long per clip"
    assert rules["cut_clips"]["core_hours"] == pytest.approx((12 * 2 * 16 / 6 + 4 * 2 * START) / 3600, abs=1e-6)
    assert {rules[step.rule]["rate_from"] for step in STEPS} == {"measured here, 2 jobs"}
    assert plan["disk"][2]["bytes_to_come"] == pytest.approx(12 * 1000)


def test_with_exact_frames_a_plan_says_how_much_of_the_footage_is_in_clips(outdir):
    split = {**SPLIT_SETTINGS, "pieces": "exact", "frames": [9, 17], "fps": 16.0}
    target = {**settings(), "split": split}
    first = make_plan(outdir, target, sample=200)
    assert first["footage"] == {"frames": [9, 17], "fps": 16, "seconds": 0, "in_clips": 0, "in_unfit_clips": 0}
    assert first["clips"]["an_hour"] == pytest.approx(3600 * 16 / 17), "clips are as long as the greatest number"
    said = as_text(first)
    assert "numbers of frames [9, 17] at 16 per second" in said and "is known when videos are split" in said
    finish(outdir, "000000", target_frames=17)
    plan = make_plan(outdir, target, sample=200)
    assert plan["footage"]["in_clips"] == pytest.approx(4 * 17 / 16)
    said = as_text(plan)
    assert "4.2 s of 6.0 s are in clips, 71%, before any filter (counted)" in said
    assert "0.5 s are in clips that are unfit, 1.2 s in none" in said
    rule = make_plan(outdir, {**target, "split": {**split, "frames": "4n+1"}}, sample=200)
    assert rule["clips"]["an_hour"] == pytest.approx(6 / 6 * 4 * 3600 / 6)
    assert max(map(len, said.splitlines())) <= 100
    assert make_plan(outdir, settings(), sample=200)["footage"] is None


def test_a_job_that_took_up_earlier_work_is_no_measure(outdir):
    for shard in ("000000", "000001"):
        finish(outdir, shard)
    measure(outdir, "text", "000001", 0.5, whole=False)
    (outdir / "benchmarks" / "aesthetic" / "000000.tsv").write_text("wall_seconds\tproc")  # cut off
    (outdir / "benchmarks" / "consistency" / "000001.tsv").unlink()
    rules = by_rule(make_plan(outdir, settings(), sample=200))
    for rule in ("score_text", "score_aesthetic", "score_consistency"):
        assert rules[rule]["rate_from"] == "measured here, 1 job"
        assert rules[rule]["core_seconds_a_unit"] == pytest.approx(8 / 4)


def test_metrics_that_share_a_job_are_one_row(outdir):
    """Its rate is that of all of them, and what starting Python takes is counted once."""
    made = settings() | {"score_jobs": {"score_clips": list(METRICS)}}
    rules = by_rule(make_plan(outdir, made, 200))
    assert "score_text" not in rules and rules["score_clips"]["jobs"] == 6
    known = [rates.find(name, made["steps"][name]["backend"]) for name in METRICS]
    assert rules["score_clips"]["core_seconds_a_unit"] == pytest.approx(sum(rate.seconds for rate in known))
    start = sum(rate.start for rate in known) - 2 * rates.PYTHON
    assert rules["score_clips"]["seconds_a_start"] == pytest.approx(start)
    for shard in ("000000", "000001"):
        finish(outdir, shard)
    tables.TEXT_SCORES.of(outdir, "000000").unlink()
    row = by_rule(make_plan(outdir, made, 200))["score_clips"]
    assert row["jobs"] == 5, "a shard without one of its tables is done again"
    assert row["rate_from"] == "measured here, 1 job"
    assert row["core_seconds_a_unit"] == pytest.approx(3 * 8 / 4)
    assert row["seconds_a_start"] == pytest.approx(3 * START)


def test_other_work_is_no_measure(outdir):
    finish(outdir, "000000")
    rules = by_rule(make_plan(outdir, settings(text={"frames": 3}, caption={"backend": "openai"}), sample=200))
    assert rules["score_text"]["rate_from"] == rules["caption_clips"]["rate_from"] == rates.SOURCE
    assert rules["score_aesthetic"]["rate_from"] == "measured here, 1 job"


@pytest.mark.slow
def test_a_model_on_a_gpu_is_not_measured_until_it_has_run(outdir):
    made = settings(aesthetic={"backend": "siglip-v2.5"})
    plan = make_plan(outdir, made, sample=200)
    row = by_rule(plan)["score_aesthetic"]
    assert (row["core_hours"], row["gpu_hours"], row["rate_from"]) == (None, None, "not measured")
    assert {"check_backend", "score_aesthetic"} <= {*plan["not_measured"]}
    assert "score_aesthetic" in as_text(plan).split("not measured, ")[1]
    finish(outdir, "000000")
    rows = [{"clip_id": f"000000-{number}"} for number in range(4)]
    path = tables.AESTHETIC.of(outdir, "000000")
    tables.AESTHETIC.write(path, rows, {"backend": "siglip-v2.5", "frames": 4})
    row = by_rule(make_plan(outdir, made, sample=200))["score_aesthetic"]
    assert row["gpu_hours"] == pytest.approx(5 * (4 * 2 + START) / 3600, abs=1e-6)
    assert row["rate_from"] == "measured here, 1 job"


def test_a_lost_table_takes_what_follows_with_it(outdir):
    for shard in sorted(path.stem for path in (outdir / "work" / "index" / "shards").iterdir()):
        finish(outdir, shard)
    tables.AESTHETIC.of(outdir, "000002").unlink()
    rules = by_rule(make_plan(outdir, settings(), sample=200))
    left = {name for name, rule in rules.items() if rule["jobs"]}
    assert {"decode_videos", "split_videos", "score_text", "score_consistency"}.isdisjoint(left)
    assert {"score_aesthetic", "filter_clips", "caption_clips", "cut_clips", "export_dataset"} <= left
    assert all(rules[name]["jobs"] == 1 for name in left)


def test_shards_that_share_a_caption_job_wait_for_all_of_it(outdir):
    for shard in ("000000", "000001", "000002"):
        finish(outdir, shard)
    made = settings() | {"clips_per_caption_job": 40}  # four videos, two shards
    rules = by_rule(make_plan(outdir, made, sample=200))
    assert rules["caption_clips"]["of"] == 3
    assert rules["caption_clips"]["jobs"] == 2
    assert rules["cut_clips"]["jobs"] == 4  # one of them finished, and yet its caption job is done again
    assert rules["filter_clips"]["jobs"] == 3


def seconds_of(plan: dict, *rules: str) -> float:
    return sum(by_rule(plan)[rule]["core_hours"] for rule in rules) * 3600


def test_the_time_is_that_of_all_cores_but_no_less_than_that_of_the_longest_shard(outdir):
    """Two of six shards are finished; each job took 8 s, those that decode and cut on two cores."""
    for shard in ("000000", "000001"):
        finish(outdir, shard)
    alone = ("check_embedded", "export_dataset", "write_report")
    times, plans = {}, {}
    for cores in (1, 4, 100):
        plan = plans[cores] = make_plan(outdir, settings() | {"workers": {"cores": cores, "cluster_jobs": None}}, 200)
        times[cores] = plan["time"]["seconds"] - seconds_of(plan, *alone) - rates.ENGINE_START
    jobs = 4 * len(STEPS) * (8 + START) + 4 * 2 * 8  # decode and cut hold two cores
    assert times[1] == pytest.approx(jobs, rel=0.02)
    assert times[4] == pytest.approx(jobs / 4, rel=0.02)
    assert times[100] == pytest.approx(len(STEPS) * (8 + START), rel=0.02), "one shard after the other steps"
    assert f"about {duration(plans[100]['time']['seconds'])} on 100 cores" in as_text(plans[100])


def test_on_a_cluster_each_job_waits_for_its_start(outdir):
    finish(outdir, "000000")
    made = settings() | {"workers": {"cores": 1, "cluster_jobs": 100}}
    time = make_plan(outdir, made, 200)["time"]["seconds"]
    assert time > len(STEPS) * (8 + START + rates.CLUSTER_START)
    assert time < len(STEPS) * (8 + START + rates.CLUSTER_START) + 5 * rates.CLUSTER_START
    assert "with 100 jobs at once" in as_text(make_plan(outdir, made, 200))


def test_rates_that_differ_from_job_to_job_make_the_time_uncertain(outdir):
    for shard, took in (("000000", 4.0), ("000001", 8.0), ("000002", 12.0)):
        finish(outdir, shard, took=took)
    plan = make_plan(outdir, settings(), 200)
    assert by_rule(plan)["score_text"]["error"] > 0.2
    time = plan["time"]
    assert 0 < time["least"] < 0.9 * time["seconds"] and time["most"] > 1.1 * time["seconds"]


def test_much_time_for_starts_is_said_and_how_shards_are_made(outdir):
    text = as_text(make_plan(outdir, settings(), 200))
    assert re.search(r"the start of jobs takes \d+\.\d% of the time on cores: much", text)
    assert "videos_per_shard auto: few new videos, and large ones" in text
    assert "videos_per_shard auto" not in as_text(make_plan(outdir, settings() | {"videos_per_shard": 2}, 200))
    for shard in ("000000", "000001"):
        finish(outdir, shard, took=100.0)
    text = as_text(make_plan(outdir, settings(), 200))
    assert "the start of jobs takes 0." in text and "much" not in text


def test_of_a_changed_or_removed_video(outdir):
    finish(outdir, "000000")
    folder = outdir.parent / "videos"
    (folder / "00.mp4").write_bytes((folder / "00.mp4").read_bytes() + bytes(8))
    (folder / "05.mp4").unlink()
    update_index(folder, outdir, 2)
    plan = make_plan(outdir, settings(), sample=200)
    assert plan["videos"] | {"bytes": 0, "bytes_to_decode": 0} == {
        "count": 11, "to_decode": 10, "decoded": 1, "failed": 0, "removed": 1, "bytes": 0, "bytes_to_decode": 0,
        "shards": 6, "bytes_to_fetch": 0, "elsewhere": 0, "bytes_elsewhere": 0, "elsewhere_of_unknown_size": 0,
    }  # fmt: skip
    assert by_rule(plan)["decode_videos"]["jobs"] == 6


# --- how it is told ---------------------------------------------------------------------------------------------------


def test_large_numbers_fit_and_what_is_unknown_is_a_question_mark(outdir):
    made = settings(
        **{step: {"backend": "clip"} for step in ("consistency", "alignment")},
        **{step: {"backend": "vllm"} for step in ("caption", "rewrite")},
        aesthetic={"backend": "laion"},
        text={"backend": "easyocr"},
    )
    plan = make_plan(outdir, made, sample=3)
    assert len(plan["not_measured"]) >= 7
    for rule in plan["rules"]:
        rule.update(jobs=1_000_000, amount=123_456_789.1, core_hours=1_234_567.8, rate_from="measured here, 1,000 jobs")
    plan["videos"].update(count=12_345_678, bytes=3e15)
    plan["hours"].update(to_decode=None, error=None, headers_unreadable=[f"{n:02d}.mp4" for n in range(40)])
    text = as_text(plan)
    assert max(map(len, text.splitlines())) <= 100, text
    assert "? to decode" in text
    assert "nan" not in text


def test_the_rates_are_those_of_the_docs():
    text = (REPOSITORY / rates.SOURCE).read_text(encoding="utf-8").split("## Rates of a plan")[1]
    rows = re.findall(r"^\| (\w+) \| ([\w.-]*) ?\| ([\d.]+) \| ([\w ]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert {
        (step, backend): (float(seconds), float(start)) for step, backend, seconds, _, start in rows
    } == rates.DOCUMENTED
    units = {step.name: step.unit for step in of_run(BY_NAME)} | {"export": KEPT}
    units |= dict.fromkeys(("classifiers", "thresholds", "report"), CLIP)
    assert all(units[step] == unit for step, _, _, unit, _ in rows)
    assert f"{rates.FRAME_BYTES_A_PIXEL} bytes a pixel" in text
    assert f"its large picture {rates.LARGE_TO_KEPT_BYTES} times as many bytes" in text
    assert f"{rates.SIGNAL_BYTES_AN_HOUR:,} bytes an hour" in text
    assert f"{rates.MINIATURE_BYTES_AN_HOUR:,} bytes an hour" in text
    assert f"{rates.SOUND_BYTES_AN_HOUR:,} bytes an hour" in text
    assert f"takes {rates.START} s" in text
    for step, backend in rates.DOCUMENTED.keys() - {
        ("decode", ""),
        ("decode", EASYANIMATE),
        ("split", ""),
        ("thresholds", ""),
        ("filter", ""),
        ("fingerprints", ""),
        ("duplicates", ""),
        ("cut", ""),
        ("export", ""),
        ("report", ""),
    }:
        backends.entry("classifier_any" if step == "classifiers" else step, backend)
