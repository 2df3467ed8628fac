"""A dataset of HDR videos: its clips look like those of the same videos in SDR."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pyarrow.parquet as pq
import pytest
from runs import Run

from clipmill.base.opencv import cv2
from clipmill.decode.frames import FrameArchive
from clipmill.store.layout import Paths

SIZE = (320, 240)
GRADED = "format=gbrp,zscale=min=gbr:tin=709:pin=709:rin=full:t=linear:m=gbr:p=709,format=gbrpf32le"
GRADED += ",zscale=p=2020,zscale=t={curve}:m=2020_ncl:r=tv:npl=203,format=yuv420p10le"


def hdr_copy(source: Path, target: Path, curve: str) -> None:
    """The video `source` in HDR."""
    tags = f"log-level=none:crf=8:colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(source), "-vf", GRADED.format(curve=curve)]
    subprocess.run([*command, "-c:v", "libx265", "-x265-params", tags, str(target)], check=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run(tmp_path_factory.mktemp("hdr") / "run")
    run.settings = {**run.settings, "split": {"min_seconds": 1}}
    sdr = run.video("sdr.mp4", seconds=2, size=SIZE)
    hdr_copy(sdr, run.folder / "hlg.mp4", "arib-std-b67")
    hdr_copy(sdr, run.folder / "pq.mp4", "smpte2084")
    run.done()
    return run


def pictures(run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Of each video the first kept frame and the first frame of its clip."""
    found = {}
    for row in pq.read_table(run.outdir / "dataset" / "metadata.parquet").to_pylist():
        with av.open(str(run.outdir / "dataset" / row["file_path"])) as container:
            shown = next(container.decode(video=0)).to_ndarray(format="bgr24")
        with FrameArchive(next(Paths(run.outdir).work.glob(f"frames/*/{row['video_id']}.zip"))) as archive:
            found[Path(row["name"]).stem] = archive.read(0), shown
    return found


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """The mean colour difference of two pictures, CIE76."""
    lab = [cv2.cvtColor((picture / 255).astype(np.float32), cv2.COLOR_BGR2LAB) for picture in (one, other)]
    return float(np.linalg.norm(lab[0] - lab[1], axis=2).mean())


def test_hdr_looks_like_sdr_everywhere(run):
    seen = pictures(run)
    assert set(seen) == {"sdr", "hlg", "pq"}
    for name in ("hlg", "pq"):
        assert all(difference(*pair) < 4 for pair in zip(seen[name], seen["sdr"], strict=True)), name
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet", columns=["sdr", "cut_method"]).to_pylist()
    assert all(row["sdr"] for row in rows)


def test_without_tone_mapping_it_is_said(run):
    outcome = run.done(config={"decode": {"tone_map": False}})
    assert "2 HDR" in outcome.output and "2 files stay HDR, as decode.tone_map says" in outcome.output
    log = "".join(path.read_text() for path in (run.outdir / "logs" / "decode").glob("*.log"))
    assert log.count("decode.tone_map is false: the colours of 2 videos stay HDR") == 1
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet", columns=["name", "sdr"]).to_pylist()
    assert {row["name"]: row["sdr"] for row in rows} == {"sdr.mp4": True, "hlg.mp4": False, "pq.mp4": False}


def test_a_filter_on_words_drops_by_what_the_video_is_and_decodes_nothing_anew(run):
    run.done()
    outcome = run.done(config={"filters": {"transfer": {"deny": ["pq"]}, "variable_rate": {"allow": [False]}}})
    assert not {"decode_videos", "split_videos"} & outcome.jobs.keys() and outcome.jobs["filter_clips"]
    reasons = {row["name"]: row["reason"] for row in run.verdicts()}
    assert reasons == {"sdr.mp4": None, "hlg.mp4": None, "pq.mp4": "transfer not allowed"}
    rows = pq.read_table(run.outdir / "dataset" / "metadata.parquet", columns=["name", "transfer"]).to_pylist()
    assert {row["name"]: row["transfer"] for row in rows} == {"sdr.mp4": "sdr", "hlg.mp4": "hlg"}
    assert "| transfer |  | not pq |" in (run.outdir / "dataset" / "README.md").read_text(encoding="utf-8")
