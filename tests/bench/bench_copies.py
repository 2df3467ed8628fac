"""How many copies `duplicates.backend: pictures` finds, and how often it is wrong, on films whose copies are known.

    python tests/bench/bench_copies.py work --videos /my/videos

Originals are the given videos and made films: pans over photographs, faces before a still background, and plain films.
Of each film a copy of each kind is made by ffmpeg. All are decoded and split by the workflow. Two clips are copies if
at least 0.8 of the shorter one is the same scene, and none if less than 0.2 is; what lies between is not judged.
Mirrored films are copies of nothing else.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from clipmill.base.opencv import cv2
from clipmill.demo import render
from clipmill.duplicates.pairs import Fingerprints, find_pairs
from clipmill.duplicates.shard import fingerprint_shard
from clipmill.duplicates.version import with_version
from clipmill.store import tables
from clipmill.store.index import shard_sizes
from default_config import CONFIG

SIZE, FPS = (400, 224), 24
SETTINGS = {**CONFIG["duplicates"], "backend": "pictures"}
BOX = "drawbox=x=iw*{}:y=ih*{}:w=iw*{}:h=ih*{}:color={}:t=fill"
LOGO = f"{BOX.format(0.82, 0.05, 0.13, 0.14, 'white')},{BOX.format(0.85, 0.08, 0.05, 0.08, 'red')}"
BLURRED_SIDES = "split[a][b];[a]scale=384:216,boxblur=12:2[c];[b]scale=288:216[d];[c][d]overlay=48:0"
# Filters of ffmpeg, further options, and frames that are missing at the start.
KINDS: dict[str, tuple[str, list[str], int]] = {
    "compressed": ("null", ["-crf", "34"], 0),
    "smaller": ("scale=iw/2:-2:flags=area", ["-crf", "26"], 0),
    "letterboxed": ("scale=320:180,pad=320:240:0:30", [], 0),
    "pillarboxed": ("scale=240:180,pad=320:180:40:0", [], 0),
    "windowboxed": ("scale=256:144,pad=320:200:32:28", ["-crf", "26"], 0),
    "white_bars": ("scale=320:178,pad=320:240:0:31:color=white", [], 0),
    "blurred_sides": (BLURRED_SIDES, [], 0),
    "in_portrait": ("scale=270:152,pad=270:480:0:164", [], 0),
    "brighter": ("eq=brightness=0.12:contrast=1.15", [], 0),
    "darker": ("eq=gamma=0.7:saturation=0.6", [], 0),
    "logo": (LOGO, [], 0),
    "trimmed": ("trim=start_frame=4,setpts=PTS-STARTPTS", [], 4),
    "trimmed_smaller": ("trim=start_frame=7,setpts=PTS-STARTPTS,scale=320:-2", ["-crf", "28", "-g", "37"], 7),
    "rate": ("fps=30", ["-crf", "25"], 0),
    "keys": ("null", ["-g", "20", "-sc_threshold", "0"], 0),
    "all": (
        "trim=start_frame=3,setpts=PTS-STARTPTS,scale=320:-2,eq=brightness=0.08,"
        + BOX.format(0.03, 0.85, 0.1, 0.1, "yellow"),
        ["-crf", "30"],
        3,
    ),
    "mirrored": ("hflip", ["-crf", "20"], 0),
}
MORE_BARS = {"windowboxed", "white_bars", "blurred_sides", "in_portrait"}  # harder ones than other copies have
PICTURES = ["coffee.png", "chelsea.png", "astronaut.png", "motorcycle_left.png", "retina.jpg", "hubble_deep_field.jpg"]
PICTURES += ["brick.png", "gravel.png", "moon.png", "camera.png", "coins.png", "rocket.jpg"]


def face(seed: int, amount: float) -> Iterator[np.ndarray]:
    """A face that sways by `amount` pixels and speaks, before a still background."""
    chance, photograph = np.random.default_rng(seed), render.photograph("astronaut.png")
    count = 5 * FPS
    window = np.hanning(48) / np.sqrt((np.hanning(48) ** 2).sum())
    sway = [np.convolve(chance.normal(size=count + 47), window, "valid") * amount for _ in range(2)]
    mouth = np.abs(np.convolve(chance.normal(size=count + 5), np.hanning(6) / 2, "valid"))
    place = np.array([[1.2, 0, SIZE[0] / 2 - 270], [0, 1.2, SIZE[1] / 2 - 132]])
    still = cv2.warpAffine(photograph, place, SIZE, borderMode=cv2.BORDER_REFLECT)
    for right, down, opened in zip(*sway, mouth, strict=True):
        moved = place + [[0, 0, right], [0, 0, down]]
        middle = (round(SIZE[0] / 2 + right), round(SIZE[1] / 2 + down))
        mask = np.zeros(SIZE[::-1], np.float32)
        cv2.ellipse(mask, middle, (60, 85), 0, 0, 360, 1, -1)
        mask = cv2.GaussianBlur(mask, (31, 31), 0)[..., None]
        frame = still * (1 - mask) + cv2.warpAffine(photograph, moved, SIZE, borderMode=cv2.BORDER_REFLECT) * mask
        cv2.ellipse(frame, (middle[0], middle[1] + 40), (14, int(2 + 5 * opened)), 0, 0, 360, (40, 30, 70), -1)
        yield np.clip(frame + chance.normal(0, 1.5, frame.shape), 0, 255).astype(np.uint8)


def make(folder: Path, videos: Path | None, seed: int) -> None:
    """Render the originals, and encode the copies."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, amount in enumerate((2.5, 2.5, 2, 0.6, 0.6, 1.5)):
        render.encode(folder / f"original-face{number}.mp4", face(100 * seed + number, amount), SIZE, FPS)
    chance = np.random.default_rng(5 + seed)
    names = chance.permutation(PICTURES).tolist() if seed else PICTURES
    for number, pictures in enumerate(names[at : at + 4] for at in range(0, len(names), 4)):
        shots = [
            render.pan(render.photograph(name), SIZE, 4.2, FPS, chance.uniform(4, 60), chance.uniform(0, 360))
            for name in pictures
        ]
        render.encode(folder / f"original-pans{number}.mp4", itertools.chain(*shots), SIZE, FPS)
    for name, level in {"black": 0, "nearlyblack": 3, "grey": 120}.items():
        frames = render.still(render.flat(SIZE, (level, level, level)), SIZE, 5, FPS)
        render.encode(folder / f"original-{name}.mp4", frames, SIZE, FPS)
    for number, path in enumerate(sorted(videos.iterdir()) if videos else ()):
        if path.suffix == ".mp4":
            ffmpeg(path, folder / f"original-video{number}.mp4", "scale=432:-2", ["-t", "30", "-crf", "20"])
    for path in sorted(folder.glob("original-*.mp4")):
        for kind, (change, options, _) in KINDS.items():
            ffmpeg(path, folder / f"{kind}-{path.name.removeprefix('original-')}", change, options)


def ffmpeg(source: Path, target: Path, change: str, options: list[str]) -> None:
    program = imageio_ffmpeg.get_ffmpeg_exe()
    fixed = ["-an", "-threads", "1", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    command = [program, "-v", "error", "-y", "-nostdin", "-i", source, "-vf", change, *fixed, *options, target]
    subprocess.run(command, check=True)


def judge(outdir: Path) -> None:
    """Compare all clips, and count."""
    videos: dict[str, dict] = {}
    clips: dict[str, dict] = {}
    for shard in shard_sizes(outdir):
        videos |= {row["video_id"]: row for row in tables.VIDEOS.rows(tables.VIDEOS.of(outdir, shard))}
        rows = tables.CLIPS.rows(tables.CLIPS.of(outdir, shard))
        clips |= {row["clip_id"]: row for row in rows if row["unfit"] is None}
        path = tables.FINGERPRINTS.of(outdir, shard)
        path.parent.mkdir(exist_ok=True)
        made = fingerprint_shard(rows, outdir, shard, SETTINGS, 0.0)
        tables.FINGERPRINTS.write(path, made, {"settings": with_version({"backend": "pictures"})})
    fingerprints = Fingerprints.read(outdir, shard_sizes(outdir), "pictures")
    pairs = find_pairs(outdir, fingerprints, SETTINGS, 2).rows.tolist()
    found = {frozenset(fingerprints.ids[row] for row in pair) for pair in pairs}
    rates = {row["name"]: row["fps"] for row in videos.values()}

    def scene(clip_id: str) -> tuple[str, str, float, float]:
        """The kind and the original of a clip, and its start and end there."""
        kind, _, name = videos[clips[clip_id]["video_id"]]["name"].partition("-")
        missing = KINDS[kind][2] / rates[f"original-{name}"] if kind != "original" else 0.0
        return kind, name, clips[clip_id]["start"] + missing, clips[clip_id]["end"] + missing

    right, missed, wrong = Counter(), Counter(), Counter()
    for one, other in itertools.combinations(sorted(clips), 2):
        (kind, name, start, end), (other_kind, other_name, other_start, other_end) = scene(one), scene(other)
        same = name == other_name and (kind == "mirrored") == (other_kind == "mirrored")
        both = max(0.0, min(end, other_end) - max(start, other_start)) / min(end - start, other_end - other_start)
        is_plain = name.removesuffix(".mp4") in ("black", "nearlyblack", "grey")
        kinds = {kind, other_kind}
        group = "with more bars" if kinds & MORE_BARS else "without"
        counts = {f"any two, {group}"}
        if "original" in kinds and len(kinds) == 2:
            counts |= {f"{kind} and original" for kind in kinds - {"original"}} | {f"an original and a copy, {group}"}
        elif "original" not in kinds:
            counts |= {f"{kind} and another copy" for kind in kinds}
        if frozenset((one, other)) in found:
            if same and both >= 0.8:
                right.update(counts)
            elif not same or both < 0.2:
                wrong[group, f"{name} and {other_name}"] += 1
        elif same and both >= 0.8 and not is_plain:
            missed.update(counts)
    for count in sorted(right.keys() | missed.keys()):
        total = right[count] + missed[count]
        print(f"{count}: {right[count]:,} of {total:,} pairs found, {right[count] / total:.3f}")
    for group in ("with more bars", "without"):
        bad = {films: number for (of, films), number in wrong.items() if of == group}
        total = right[f"any two, {group}"] + sum(bad.values())
        print(f"{group}: {sum(bad.values()):,} of {total:,} found pairs are wrong: {bad}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder for the films and for the run")
    parser.add_argument("--videos", type=Path, help="folder of .mp4 files, the first 30 seconds of which are originals")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the made films: 0 are those that thresholds were chosen on"
    )
    args = parser.parse_args()
    films, outdir = args.folder.resolve() / "films", args.folder.resolve() / "run"
    if not films.exists():
        make(films, args.videos, args.seed)
    config = args.folder / "config.json"
    config.write_text(json.dumps({"videos": str(films), "outdir": str(outdir), "videos_per_shard": 40}))
    snakemake = [sys.executable, "-m", "snakemake", "--snakefile", REPOSITORY / "Snakefile", "--cores", "2"]
    subprocess.run([*snakemake, "--configfile", config, "--until", "split_videos"], check=True)
    judge(outdir)


if __name__ == "__main__":
    main()
