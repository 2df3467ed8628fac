"""The steps as they are usually done, for comparison: each with its own pass over the pixels, at full size.

PySceneDetect over each file; every clip of 3 to 10 s re-encoded with libx264; then, on each clip file, Farneback's flow
between full frames at 2 a second, with the parameters that OpenCV's tutorial and most pipelines use.
"""

from __future__ import annotations

import multiprocessing
import subprocess
import time
from pathlib import Path
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
from scenedetect import ContentDetector, detect

SHORTEST, LONGEST = 3.0, 10.0


def run(videos: list[Path], place: Path, cores: int, cut: dict[str, Any]) -> dict[str, float]:
    """Wall seconds of each step, spread over `cores` processes; clips are written at the quality that `cut` names."""
    place.mkdir(parents=True)
    took = {}
    with multiprocessing.get_context("fork").Pool(cores, cv2.setNumThreads, (1,)) as pool:

        def step(name: str, function: Any, jobs: list) -> list:
            start = time.perf_counter()
            results = pool.map(function, jobs, chunksize=1)
            took[name] = time.perf_counter() - start
            return results

        scenes = step("scene detection", find_scenes, videos)
        jobs = [
            (video, start, length, place / f"{video.stem}-{start:.3f}.mp4", cut)
            for video, found in zip(videos, scenes, strict=True)
            for start, length in pieces(found)
        ]
        step("cut", encode, jobs)
        step("full-frame flow", mean_flow, [job[3] for job in jobs])
    return took


def find_scenes(video: Path) -> list[tuple[float, float]]:
    found = detect(str(video), ContentDetector(threshold=27, min_scene_len=15), start_in_scene=True)
    return [(start.seconds, end.seconds) for start, end in found]


def pieces(scenes: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """(start, length) of clips: scenes of 3 s and more, in pieces of 10 s, the rest dropped if it is too short."""
    found = []
    for start, end in scenes:
        while end - start >= SHORTEST:
            length = min(LONGEST, end - start)
            found.append((start, length))
            start += length
    return found


def encode(job: tuple[Path, float, float, Path, dict[str, Any]]) -> None:
    video, start, length, target, cut = job
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-threads", "1", "-ss", f"{start:.6f}"]
    command += ["-i", video, "-t", f"{length:.6f}", "-an", "-c:v", "libx264", "-preset", cut["preset"]]
    subprocess.run([*command, "-crf", str(cut["crf"]), "-threads", "1", target], check=True)


def mean_flow(clip: Path) -> float:
    speeds = []
    before = None
    next_time = 0.0
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            if frame.time < next_time:
                continue
            next_time += 0.5
            grey = frame.to_ndarray(format="gray")
            if before is not None:
                flow = cv2.calcOpticalFlowFarneback(before, grey, None, 0.5, 3, 15, 3, 5, 1.2, 0)
                speeds.append(float(np.linalg.norm(flow, axis=2).mean()))
            before = grey
    return float(np.mean(speeds)) if speeds else 0.0
