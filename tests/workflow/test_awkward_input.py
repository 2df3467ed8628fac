"""Names and files as they are found in the wild, all in one run: each good video is kept, each bad one explained."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections import Counter
from pathlib import Path

import av
import pytest
from runs import Outcome, Run, make_video, obey_modes, whole_plan

from clipmill.decode.media import file_url
from clipmill.demo import render

NAMES = (
    "two  spaces .mp4",
    "-i.mp4",
    "--help.mp4",
    "\"double\" and 'single'.mp4",
    "{shard} {{0}} {}.mp4",
    "100%s %20.mp4",
    "$HOME `id` $(id).mp4",
    "a\nb.mp4",
    "tab\tcarriage\rreturn.mp4",
    "back\\slash *?[a-z].mp4",
    "\N{CLAPPER BOARD}\N{ZERO WIDTH JOINER}.mp4",
    unicodedata.normalize("NFC", "café.mp4"),
    unicodedata.normalize("NFD", "café.mp4"),
    "n" * 251 + ".mp4",
    "%04d.mp4",
    "http:host.mp4",
    "SHOUTED.MP4",
    "a/same.mp4",
    "b/same.mp4",
    "same.mkv",
    "same.mp4",
    "folder.mp4/inside.mp4",
)
# What each bad file is, and a word of what its message says is to be done.
BAD = {
    "bad/empty.mp4": ("decode", "empty", "0 bytes"),
    "bad/sound.mp4": ("decode", "no_video", "1 audio stream"),
    "bad/picture.mp4": ("decode", "still_image", "single picture"),
    "bad/playlist.mp4": ("decode", "playlist", "name those files instead"),
    "bad/text.mp4": ("decode", "not_a_video", "repair or remove it"),
    "bad/no index.mp4": ("decode", "not_a_video", "repair or remove it"),
    "bad/cut off.mp4": ("decode", "corrupt", "cannot be decoded beyond"),
    "bad/closed.mp4": ("decode", "unreadable", "permission"),
    "bad/leads nowhere.mp4": ("index", "missing", "repair the link or remove it"),
    "bad/\\udcff.mp4": ("index", "bad_name", "not valid UTF-8"),
    "bad/closed": ("index", "unreadable_folder", "check its mode"),
}
ONE_FRAME = "one frame.mp4"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Outcome]:
    """All of them in one run, in whose folder of videos the output folder lies."""
    run = Run(tmp_path_factory.mktemp("awkward") / "run it's {here}", below="videos/out of $HOME 100% it's")
    run.settings |= {"videos_per_shard": 12}
    first = run.video(NAMES[0])
    for name in NAMES[1:]:
        path = run.folder / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".mkv":
            make_video(path)
        else:
            shutil.copyfile(first, path)
    run.video(ONE_FRAME, seconds=0.1)
    make_bad(run.folder / "bad", first)
    (run.folder / "empty folder.mp4").mkdir()
    (run.folder / ".hidden.mp4").touch()
    (run.folder / "a" / "round and round").symlink_to(run.folder)
    (run.folder / "notes.txt").touch()
    yield run, run.run(preexec_fn=obey_modes)
    for path in ("closed", "closed.mp4"):
        (run.folder / "bad" / path).chmod(0o700)


def make_bad(folder: Path, good: Path) -> None:
    folder.mkdir()
    (folder / "empty.mp4").touch()
    with av.open(file_url(folder / "sound.mp4"), "w") as output:
        sound = output.add_stream("aac", rate=48000, layout="mono")
        for frame in map(render._sine, range(50)):
            output.mux(sound.encode(frame))
        output.mux(sound.encode())
    picture = Path(render.importlib.util.find_spec("skimage").origin).parent / "data" / "coffee.png"
    shutil.copyfile(picture, folder / "picture.mp4")
    (folder / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:1.5,\n{good}\n#EXT-X-ENDLIST\n")
    (folder / "text.mp4").write_text("not a video at all\n" * 100)
    long = make_video(folder / "no index.mp4", seconds=4)
    os.truncate(long, long.stat().st_size // 2)
    fast = make_video(folder / "cut off.mp4", seconds=12, container_options={"movflags": "+faststart"})
    os.truncate(fast, fast.stat().st_size * 3 // 4)
    shutil.copyfile(good, folder / "closed.mp4")
    (folder / "closed.mp4").chmod(0)
    (folder / "leads nowhere.mp4").symlink_to("nowhere.mp4")
    shutil.copyfile(good, os.fsencode(folder) + b"/\xff.mp4")
    (folder / "closed").mkdir()
    shutil.copyfile(good, folder / "closed" / "inside.mp4")
    (folder / "closed").chmod(0)


@pytest.fixture(scope="module")
def run(finished) -> Run:
    return finished[0]


def test_the_run_goes_well(finished):
    _, outcome = finished
    assert outcome.code == 0, outcome.output
    assert outcome.jobs == whole_plan(3)
    assert "Traceback" not in outcome.output
    assert "3 entries cannot be used (errors.csv says why)" in outcome.output


def test_each_good_video_is_in_the_train_file(run):
    assert run.kept() == set(NAMES)
    assert Counter(row["name"] for row in run.verdicts() if row["kept"]) == Counter(NAMES)
    for entry in run.train():
        assert entry["file_path"].isascii() and " " not in entry["file_path"]
        with av.open(file_url(run.outdir / "dataset" / entry["file_path"])) as container:
            assert sum(1 for _ in container.decode(video=0)) == 15


def test_a_single_frame_is_too_short(run):
    (row,) = [row for row in run.verdicts() if not row["kept"]]
    assert (row["name"], row["reason"]) == (ONE_FRAME, "too_short")


def test_each_bad_file_is_one_row_that_says_why(run):
    found = {error["video"]: error for error in run.errors()}
    assert len(found) == len(run.errors())
    assert {name: (error["step"], error["kind"]) for name, error in found.items()} == {
        name: (rule, kind) for name, (rule, kind, _) in BAD.items()
    }
    for name, (_, _, words) in BAD.items():
        assert words in found[name]["message"]


def test_the_output_in_the_folder_of_videos_is_not_taken_for_videos(run):
    assert list((run.outdir / "dataset" / "clips").rglob("*.mp4"))
    outcome = run.run(preexec_fn=obey_modes)
    assert f"{len(NAMES) + 1 + 8} videos in 3 shards (0 new)" in outcome.output
    assert outcome.nothing_done, outcome.output
