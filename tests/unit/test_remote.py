"""Files at addresses: which are read, which are refused, and what is said where something goes wrong."""

from __future__ import annotations

import hashlib
import json

import pytest

from clipmill.base.errors import ItemError, SetupError
from clipmill.remote.addresses import BadAddress, is_address, parse
from clipmill.remote.errors import RemoteError, without_queries
from clipmill.remote.files import Files, Patience
from clipmill.remote.hosts import Hosts, allow_place_of_videos
from web_server import Fault, WebServer, web_server

SECRET = "hunter2"
SOON = Patience(tries=4, first_seconds=0.01)


@pytest.fixture
def server():
    with web_server() as server:
        yield server


def files(server: WebServer, *more: str, timeout: float = 5) -> Files:
    return Files(Hosts([server.host, *more]), timeout, SOON)


def refused(call) -> RemoteError:
    with pytest.raises(RemoteError) as caught:
        call()
    return caught.value


def whole(files: Files, address: str, **options) -> tuple[int, bytes]:
    with files.reading(parse(address), **options) as reading:
        return reading.start, b"".join(reading.chunks)


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "path", "shown"),
    [
        ("s3://set/a b/c#1?.mp4", "set", "a b/c#1?.mp4", "s3://set/a b/c#1?.mp4"),
        ("gs://set/x.mp4", "set", "x.mp4", "gs://set/x.mp4"),
        ("az://box/x.mp4", "box", "x.mp4", "az://box/x.mp4"),
        ("https://Host.org:443/a%20b.mp4?id=3", "host.org", "a%20b.mp4", "https://host.org/a%20b.mp4"),
        ("http://127.0.0.1:8000/a.mp4", "127.0.0.1:8000", "a.mp4", "http://127.0.0.1:8000/a.mp4"),
        ("hf://datasets/u/n@v1/a/b.mp4", "u/n", "a/b.mp4", "hf://datasets/u/n@v1/a/b.mp4"),
        ("hf://datasets/u/n", "u/n", "", "hf://datasets/u/n/"),
        ("hf://datasets/u/n@refs%2Fpr%2F1/b.mp4", "u/n", "b.mp4", "hf://datasets/u/n@refs%2Fpr%2F1/b.mp4"),
    ],
)
def test_an_address_is_read(text, place, path, shown):
    address = parse(text)
    assert (address.place, address.path, str(address)) == (place, path, shown)
    assert parse(address.full) == address


@pytest.mark.parametrize(
    "text",
    [
        f"s3://me:{SECRET}@set/x.mp4",
        f"https://me:{SECRET}@host.org/x.mp4",
        f"https://{SECRET}@host.org/x.mp4",
        f"hf://me:{SECRET}@datasets/u/n/x.mp4",
        f"https://host.org/x.mp4?token={SECRET}",
        f"https://host.org/x.mp4?api_key={SECRET}",
        f"az://{SECRET}:x@box/x.mp4",
        f"file:///etc/{SECRET}",
        f"ftp://host.org/{SECRET}",
        f"https://good.org\\@{SECRET}.org/",
        f"https:///{SECRET}",
        f"https://host.org:99:{SECRET}/x",
        f"s3:///{SECRET}",
        f"hf://models/u/{SECRET}",
        f"s3://set/{SECRET}\nx",
        f"https://[{SECRET}/x",
    ],
)
def test_an_address_that_holds_a_key_or_is_of_no_use_is_refused_without_repeating_it(text):
    assert is_address(text)
    with pytest.raises(BadAddress) as caught:
        parse(text)
    assert SECRET not in str(caught.value)


def test_a_signature_is_in_no_message_and_no_name():
    signed = parse(f"https://host.org/a.mp4?X-Amz-Credential=me&X-Amz-Signature={SECRET}")
    assert signed.is_signed and SECRET in signed.full
    assert SECRET not in f"{signed} {signed!r} {signed.name}"
    assert parse("https://host.org/get?id=3").name == "https://host.org/get?id=3"
    assert without_queries(f"GET https://h/x?sig={SECRET}: no (?sv={SECRET})") == "GET https://h/x: no ()"


# --- what may be reached ----------------------------------------------------------------------------------------------


def test_only_named_places_are_reached():
    hosts = Hosts(["media.org", "s3://set", "hf://datasets/u/*", "http://127.0.0.1:8000", "*.cdn.org"])
    allowed = (
        *("https://media.org/x", "s3://set/x", "hf://datasets/u/n@v/x", "http://127.0.0.1:8000/x"),
        "https://a.cdn.org/x",
    )
    others = (
        *("http://media.org/x", "https://media.org:8443/x", "https://media.org.evil.net/x", "s3://other/x"),
        *("gs://set/x", "http://169.254.169.254/latest/meta-data", "http://127.0.0.1/x", "https://cdn.org/x"),
    )
    assert all(hosts.allow(parse(text)) for text in allowed)
    assert not any(hosts.allow(parse(text)) for text in others)
    config = {"videos": "gs://set/x", "fetch": {"hosts": ["media.org"]}}
    allow_place_of_videos(config)
    assert Hosts(config["fetch"]["hosts"]).allow(parse("gs://set/y"))
    assert Hosts(["http://[::1]:8000"]).allow(parse("http://[::1]:8000/x"))
    assert not Hosts(["http://[::1]:8000"]).allow(parse("http://1:8000/x"))  # 0.0.0.1, as some systems read it
    with pytest.raises(SetupError, match="holds a signature") as caught:
        allow_place_of_videos({**config, "videos": f"https://media.org/list.csv?sig={SECRET}"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "entry", [f"https://me:{SECRET}@host.org", "file:///etc", "host.org/folder", "s3://set/folder"]
)
def test_an_entry_that_names_no_place_is_refused(entry):
    with pytest.raises(SetupError, match=r"fetch\.hosts") as caught:
        Hosts([entry])
    assert SECRET not in str(caught.value)


# --- the web ----------------------------------------------------------------------------------------------------------


def test_a_file_of_a_web_server_is_read_from_where_it_was_cut(server):
    server.files["/a.mp4"] = bytes(range(200))
    address = f"{server.url}/a.mp4"
    entry = files(server).entry(parse(address))
    assert (entry.path, entry.size_bytes, entry.modified_ns) == ("a.mp4", 200, 1793613600 * 10**9)
    assert whole(files(server), address, start=150, etag=entry.etag) == (150, bytes(range(150, 200)))
    assert whole(files(server), address, start=150, etag='"other"') == (0, bytes(range(200)))
    server.ranges = False
    assert whole(files(server), address, start=150, etag=entry.etag) == (0, bytes(range(200)))


@pytest.mark.parametrize(
    ("fault", "kind", "lasting"),
    [
        (Fault(times=99, status=404), "not_found", True),
        (Fault(times=99, status=403), "forbidden", True),
        (Fault(times=99, status=500), "failed", False),
        (Fault(times=99, status=418), "failed", True),
        (Fault(times=99, cut_after=100), "unreachable", False),
        (Fault(times=99, says=9999), "unreachable", False),
        (Fault(times=99, pause=1), "timed_out", False),
        (Fault(times=99, status=302, headers={"Location": "http://169.254.169.254/latest"}), "not_allowed", True),
        (Fault(times=99, status=302, headers={"Location": "file:///etc/passwd"}), "not_allowed", True),
        (Fault(times=99, status=302, headers={"Location": "/a.mp4"}), "failed", True),
    ],
)
def test_what_goes_wrong_with_a_web_server_is_named(server, fault, kind, lasting):
    server.files["/a.mp4"] = bytes(200)
    server.faults["/a.mp4"] = fault
    error = refused(lambda: whole(files(server, timeout=0.3), f"{server.url}/a.mp4?id={SECRET}"))
    assert (error.kind, error.lasting) == (kind, lasting)
    assert isinstance(error, ItemError) and f"{server.url}/a.mp4" in str(error) and SECRET not in str(error)


def test_a_redirect_is_followed_to_a_host_that_is_named(server):
    with web_server() as other:
        other.files["/b.mp4"] = b"there"
        server.faults["/a.mp4"] = Fault(times=99, status=307, headers={"Location": f"{other.url}/b.mp4?sig={SECRET}"})
        address = f"{server.url}/a.mp4"
        assert whole(files(server, other.host), address) == (0, b"there")
        error = refused(lambda: whole(files(server), address))
        assert error.kind == "not_allowed" and f"add `{other.host}` there" in str(error) and SECRET not in str(error)
        assert len(other.asked) == 1


def test_a_busy_server_is_asked_again_when_it_says(server):
    server.files["/a.mp4"] = b"there"
    server.faults["/a.mp4"] = Fault(times=2, status=429, headers={"Retry-After": "0"})
    assert files(server).entry(parse(f"{server.url}/a.mp4")).size_bytes == 5
    server.faults["/a.mp4"] = Fault(times=1, status=503, headers={"Retry-After": "86400"})
    assert not refused(lambda: files(server).entry(parse(f"{server.url}/a.mp4"))).lasting


# --- the hub ----------------------------------------------------------------------------------------------------------


def test_a_dataset_of_the_hub_is_listed_and_read(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    sha256 = hashlib.sha256(b"large").hexdigest()
    first = [
        {"type": "directory", "path": "raw/x", "oid": "d"},
        {"type": "file", "path": "raw/x/a.mp4", "size": 5, "oid": "1", "lfs": {"oid": sha256, "size": 5}},
    ]
    last = [{"type": "file", "path": "raw/b.mp4", "size": 3, "oid": "2"}]
    pages = "/api/datasets/u/n/tree/v1/raw?recursive=true"
    server.texts[pages] = ({"Link": f'<{server.url}{pages}&cursor=2>; rel="next"'}, json.dumps(first).encode())
    server.texts[f"{pages}&cursor=2"] = ({}, json.dumps(last).encode())
    address = parse("hf://datasets/u/n@v1/raw")
    files = Files(Hosts(["hf://datasets/u/n"]), 5, SOON)
    entries = list(files.below(address))
    assert [(entry.path, entry.size_bytes, entry.sha256) for entry in entries] == [
        ("x/a.mp4", 5, sha256),
        ("b.mp4", 3, None),
    ]
    with web_server() as cdn:
        cdn.files["/1"] = b"large"
        monkeypatch.setattr("clipmill.remote.hub.headers", lambda: {"authorization": f"Bearer {SECRET}"})
        server.faults["/datasets/u/n/resolve/v1/raw/x/a.mp4"] = Fault(
            times=99, status=302, headers={"Location": f"{cdn.url}/1"}
        )
        own = Files(Hosts(["hf://datasets/u/n", cdn.host]), 5, SOON)
        assert whole(own, str(address.below("x/a.mp4"))) == (0, b"large")
        assert server.asked[-1][2]["authorization"] == f"Bearer {SECRET}"
        assert "authorization" not in cdn.asked[-1][2]
    assert refused(lambda: list(files.below(parse("hf://datasets/u/other")))).kind == "not_allowed"


def test_the_token_goes_to_the_hub_alone_and_nothing_comes_compressed(server, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    pages = "/api/datasets/u/n/tree/main?recursive=true"
    with web_server() as other:
        server.texts[pages] = ({"Link": f'<{other.url}/more>; rel="next"'}, b"[]")
        other.texts["/more"] = ({}, b'[{"type": "file", "path": "b.mp4", "size": 3, "oid": "2"}]')
        files = Files(Hosts(["hf://datasets/u/n", other.host]), 5, SOON)
        assert [entry.path for entry in files.below(parse("hf://datasets/u/n"))] == ["b.mp4"]
        ((_, _, to_hub),), ((_, _, elsewhere),) = server.asked, other.asked
    assert to_hub["authorization"] == f"Bearer {SECRET}" and "authorization" not in elsewhere
    assert to_hub["accept-encoding"] == "identity"


def test_a_web_server_has_no_list(server):
    assert "name them in a sheet" in str(refused(lambda: list(files(server).below(parse(f"{server.url}/videos")))))
