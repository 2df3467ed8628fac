"""Sending the dataset: only what is new or has changed, lists last, and an upload that ended early goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bucket_server import bucket_server, environment, fill
from clipmill.base.errors import SetupError
from clipmill.remote.addresses import Address, parse
from clipmill.remote.errors import RemoteError
from clipmill.remote.files import Files
from clipmill.remote.hosts import Hosts
from clipmill.upload.address import fault_of
from clipmill.upload.bucket import Bucket
from clipmill.upload.dataset import Dataset, upload_dataset
from hub_server import HubServer, hub_server

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS = parse("s3://sets/films/one")
CLIPS = ["clips/a/a_1.mp4", "clips/a/a_2.mp4", "clips/b/b_1.mp4"]
LINKED = ["ai-toolkit/train/all/0000/a_1.mp4", "ai-toolkit/train/all/0000/a_1.txt"]
LISTS = ["ai-toolkit/train.yaml", "metadata.parquet", "README.md"]
NOT_OURS = [
    "ai-toolkit/train/all/0000/_latent_cache/a_1.safetensors",
    "output/lora.safetensors",
    "clips/a/.a_2.mp4.tmp",
]


class Watched(Files):
    """Files that note what is written and removed, and refuse some names."""

    def __init__(self) -> None:
        super().__init__(Hosts([ADDRESS.whole_place]), 5)
        self.written: list[str] = []
        self.removed: list[str] = []
        self.refused: set[str] = set()

    def write(self, address: Address, file: Path | bytes) -> str | None:
        below = address.path.removeprefix(f"{ADDRESS.path}/")
        if below in self.refused:
            raise RemoteError("forbidden", f"{address}: the server refuses it (status 403)")
        etag = super().write(address, file)
        self.written.append(below)
        return etag

    def remove(self, address: Address) -> None:
        self.removed.append(address.path.removeprefix(f"{ADDRESS.path}/"))
        super().remove(address)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bucket_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        yield url


@pytest.fixture
def made(server, tmp_path) -> Path:
    """An output folder with a dataset, and an empty bucket but for a file of somebody else."""
    import boto3

    for bucket in boto3.resource("s3", endpoint_url=server).buckets.all():
        bucket.objects.all().delete()
        bucket.delete()
    fill(server, "sets", {"films/one/notes.txt": b"not ours", "films/one-more/x.mp4": b"beside"})
    for number, below in enumerate([*CLIPS, *LINKED, *LISTS, *NOT_OURS]):
        put(tmp_path, below, f"{below} {'x' * number}")
    return tmp_path


def put(outdir: Path, below: str, text: str) -> None:
    path = outdir / "dataset" / below
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def sent(outdir: Path, refused: tuple[str, ...] = ()) -> tuple[Watched, dict]:
    files = Watched()
    files.refused = set(refused)
    dataset = Dataset(outdir / "dataset", ("ai-toolkit", "parquet"), ("train",))
    try:
        return files, upload_dataset(outdir, ADDRESS, dataset, Bucket(ADDRESS, files, 2))
    except SetupError as error:
        return files, {"error": str(error)}


def there() -> dict[str, bytes]:
    files = Files(Hosts([ADDRESS.whole_place]), 5)
    return {entry.path: files.content(ADDRESS.below(entry.path), 10**6) for entry in files.below(ADDRESS)}


def test_the_dataset_is_sent_once_and_lists_come_last(made):
    files, told = sent(made)
    assert sorted(files.written) == sorted([*CLIPS, *LINKED, *LISTS])
    assert set(files.written[-3:]) == set(LISTS)
    assert (told["files"], told["sent"], told["removed"]) == (8, 8, 0)
    ours = {below: (made / "dataset" / below).read_bytes() for below in files.written}
    assert there() == {**ours, "notes.txt": b"not ours"}
    assert told["sent_bytes"] == sum(map(len, ours.values()))

    files, told = sent(made)
    assert (files.written, told["sent"], told["sent_bytes"]) == ([], 0, 0)


def test_only_changes_are_sent_and_files_that_no_list_names_are_removed_after_the_lists(made):
    sent(made)
    put(made, CLIPS[0], "another clip")
    put(made, LISTS[1], "another list")
    for below in (CLIPS[2], LINKED[1]):
        (made / "dataset" / below).unlink()
    files, told = sent(made)
    assert files.written == [CLIPS[0], LISTS[1]]
    assert sorted(files.removed) == sorted([CLIPS[2], LINKED[1]]) and told["removed"] == 2
    assert there()[CLIPS[0]] == b"another clip"
    assert there().keys() == {*CLIPS[:2], LINKED[0], *LISTS, "notes.txt"}


def test_an_upload_that_ended_early_goes_on(made):
    files, told = sent(made, refused=(CLIPS[1],))
    assert "1 of 5 files could not be sent to s3://sets/films/one" in told["error"] and "status 403" in told["error"]
    assert sorted(files.written) == sorted([CLIPS[0], CLIPS[2], *LINKED])  # no list names what is missing

    files, told = sent(made, refused=(LISTS[0],))
    assert files.written == [CLIPS[1], *[below for below in files.written if below in LISTS]]
    assert "could not be sent" in told["error"] and not files.removed

    files, told = sent(made)
    assert files.written == [LISTS[0]] and there().keys() == {*CLIPS, *LINKED, *LISTS, "notes.txt"}


def test_what_somebody_else_removed_or_replaced_there_is_sent_again(made):
    sent(made)
    files = Files(Hosts([ADDRESS.whole_place]), 5)
    files.remove(ADDRESS.below(CLIPS[0]))
    files.write(ADDRESS.below(CLIPS[1]), b"y" * (made / "dataset" / CLIPS[1]).stat().st_size)
    again, _ = sent(made)
    assert sorted(again.written) == CLIPS[:2]
    assert there()[CLIPS[1]] == (made / "dataset" / CLIPS[1]).read_bytes()
    files.write(ADDRESS.below(CLIPS[0]), b"of somebody else")
    for clip in CLIPS[:2]:
        (made / "dataset" / clip).unlink()
    last, _ = sent(made)
    assert last.removed == [CLIPS[1]] and there()[CLIPS[0]] == b"of somebody else"


def test_an_earlier_state_of_a_file_is_sent_again(made):
    path = made / "dataset" / CLIPS[0]
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    sent(made)
    path.write_bytes(before[::-1])
    sent(made)
    path.write_bytes(before)
    os.utime(path, ns=(time, time))
    files, _ = sent(made)
    assert files.written == [CLIPS[0]] and there()[CLIPS[0]] == before


def test_a_bucket_that_is_not_there_is_named(made):
    address = parse("s3://nowhere/films")
    files = Files(Hosts([address.whole_place]), 5)
    with pytest.raises(SetupError, match=r"^export\.upload: s3://nowhere/films: "):
        upload_dataset(made, address, Dataset(made / "dataset", (), ()), Bucket(address, files, 1))


def test_a_dataset_goes_to_the_hub_in_commits_and_lists_with_removals_in_the_last(made):
    with hub_server() as hub:
        assert tool(made, hub) == {"sent": 8, "removed": 0}
        assert {path: content for path, content in hub.files.items() if path != ".gitattributes"} == {
            f"v1/{below}": (made / "dataset" / below).read_bytes() for below in (*CLIPS, *LINKED, *LISTS)
        }
        assert [sorted(added) for added, _ in hub.commits] == [
            sorted(f"v1/{below}" for below in some) for some in ([*CLIPS, *LINKED], LISTS)
        ]
        assert hub.large == {f"v1/{below}" for below in (*CLIPS, LINKED[0], LISTS[1])}

        assert tool(made, hub) == {"sent": 0, "removed": 0}
        assert len(hub.commits) == 2

        put(made, CLIPS[0], "another clip")
        (made / "dataset" / CLIPS[2]).unlink()
        assert tool(made, hub) == {"sent": 1, "removed": 1}
        assert hub.commits[2:] == [([f"v1/{CLIPS[0]}"], []), ([], [f"v1/{CLIPS[2]}"])]
        assert hub.files[f"v1/{CLIPS[0]}"] == b"another clip" and ".gitattributes" in hub.files
        assert "no such dataset" in tool(made, hub, "hf://datasets/me/other")


def tool(outdir: Path, hub: HubServer, address: str = "hf://datasets/me/set/v1") -> dict[str, int] | str:
    """What the tool says of an upload to the hub, or its error."""
    output = outdir / "sent.json"
    settings = json.dumps({"formats": ["ai-toolkit", "parquet"], "splits": ["train"]})
    flags = ["--outdir", outdir, "--address", address, "--settings", settings, "--output", output]
    fetch = json.dumps({"timeout_seconds": 5, "parallel": 2})
    own = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_made", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, REPOSITORY / "scripts" / "upload.py", *flags],
        env={**os.environ, **own, "HF_HOME": str(outdir / "home"), "CLIPMILL_FETCH": fetch},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return done.stderr
    return {name: json.loads(output.read_text())[name] for name in ("sent", "removed")}


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("s3://bucket/folder", None),
        ("hf://datasets/user/name", None),
        ("https://example.org/x", "nothing is written by `https://`"),
        ("/data/set", "no address"),
        ("s3://key:secret@bucket/x", "take it out"),
    ],
)
def test_an_address_that_cannot_be_written_to_is_refused(address, fault):
    found = fault_of(address)
    assert found is None if fault is None else fault in found
    assert "secret" not in str(found)
