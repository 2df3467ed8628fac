"""A run does not depend on its surroundings: home folder, spellings of paths, what somebody did to its files."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from runs import LAST, Run, explain, same, whole_plan


def overwrite(clip: Path) -> None:
    """In place, so that the file it is a link of is damaged too; the size stays."""
    with open(clip, "r+b") as file:
        file.seek(500)
        file.write(b"damage")


def test_a_run_in_odd_surroundings(run: Run):
    run.video("a.mp4")
    run.video("b.mp4", picture="chelsea.png")
    no_home = {**os.environ, "HOME": str(run.place / "videos" / "a.mp4")}
    no_home.pop("XDG_CACHE_HOME", None)

    # ffmpeg is checked before anything runs, though it is used last; a home folder is not needed.
    outcome = run.run(env={**no_home, "IMAGEIO_FFMPEG_EXE": "/bin/cat"})
    assert explain(outcome, "ffmpeg: /bin/cat is another program", "unset IMAGEIO_FFMPEG_EXE")
    assert outcome.jobs == {} and not (run.outdir / "logs").exists()
    assert run.run(env=no_home).jobs == whole_plan(1)
    before = run.left()

    # The same folders spelled otherwise run nothing, and Snakemake still knows with which settings all was made.
    (run.place / "link").symlink_to(run.place)
    for outdir, videos in ((f"{run.outdir}/", run.folder), ("../link/out", run.place / "link" / "videos")):
        config = {"outdir": outdir, "videos": str(videos)}
        outcome = run.done("--dry-run", config=config)
        assert outcome.planned == {} and "missing provenance" not in outcome.output, outcome.output
        assert "filter_clips" in run.done("--dry-run", config=config | {"filters": {"motion": {"min": 1}}}).planned
    assert "filter_clips" in run.done("--dry-run", "--config", "filters={motion: {min: 1}}").planned

    # Started in another folder, it knows that too, and in the first folder what was made from there.
    there = replace(run, start="elsewhere")
    outdir, export = str(run.outdir), {"text_prefix": "from there "}
    assert there.done("--dry-run", config={"outdir": outdir}).planned == {}
    assert there.done(config={"outdir": outdir, "export": export}).jobs == LAST
    assert all(entry["text"].startswith("from there ") for entry in run.train())
    assert run.done("--dry-run", config={"export": export}).planned == {}
    assert run.done().jobs == LAST
    assert same(run.left(), before)
    shutil.rmtree(run.workdir / ".snakemake")
    shutil.rmtree(there.workdir)
    lost = run.done("--dry-run").output
    assert f"no record says with which settings its files were made. Snakemake kept that in {run.workdir}" in lost
    assert f"{there.workdir}/.snakemake." in lost and "run once with --forceall" in lost
    assert run.done("--forceall").jobs == whole_plan(1)
    assert same(run.left(), before)
    assert "no record" not in run.done("--dry-run").output

    # Damaged clips are noticed and made again, with the same bytes.
    clips = sorted((run.outdir / "dataset" / "clips").rglob("*.mp4"))
    overwrite(clips[0])
    clips[1].unlink()
    outcome = run.done()
    assert "2 missing or damaged clips" in outcome.output
    assert outcome.jobs == {"cut_clips": 1, **LAST}
    assert same(run.left(), before)
    assert run.run().nothing_done

    # Removed signals end the job that needs them; the next run decodes again.
    shutil.rmtree(run.outdir / "work" / "signals")
    config = {"split": {"min_seconds": 0.6}}
    assert explain(run.run(config=config), "split_videos", "missing; run the same command again", "1 more video")
    assert run.done(config=config).jobs["decode_videos"] == 1
    assert len(run.kept()) == 2
