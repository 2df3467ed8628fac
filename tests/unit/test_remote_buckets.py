"""Files in buckets: a real server of S3's protocol is listed, read and written; what goes wrong is named."""

from __future__ import annotations

import hashlib
import os

import pytest
from test_remote import SECRET, SOON, refused, whole

from bucket_server import bucket_server, environment, fill
from clipmill.base.errors import SetupError
from clipmill.remote.addresses import parse
from clipmill.remote.files import Files
from clipmill.remote.hosts import Hosts
from web_server import MODIFIED, Fault, web_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket():
    objects = {f"raw/{number:04d}.mp4": b"x" * number for number in range(1, 31)}
    objects |= {"raw/a b/ü#1?%20.mp4": b"odd", "rawer/no.mp4": b"no", "film.mp4": bytes(range(256)) * 5000}
    with bucket_server() as url, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(url).items():
            patch.setenv(name, value)
        fill(url, "set", objects)
        yield Files(Hosts(["s3://set"]), 5, SOON)


def test_a_bucket_is_listed_below_a_folder(bucket):
    entries = {entry.path: entry for entry in bucket.below(parse("s3://set/raw/"))}
    assert len(entries) == 31 and "a b/ü#1?%20.mp4" in entries
    entry = entries["0007.mp4"]
    assert (entry.size_bytes, entry.etag) == (7, f'"{hashlib.md5(b"x" * 7).hexdigest()}"')
    assert entry.modified_ns and entry == bucket.entry(parse("s3://set/raw/0007.mp4"))
    assert list(bucket.below(parse("s3://set/none"))) == []


def test_a_part_of_an_object_is_read_if_it_is_still_the_same(bucket):
    content = bytes(range(256)) * 5000
    address = "s3://set/film.mp4"
    etag = bucket.entry(parse(address)).etag
    assert whole(bucket, address) == (0, content)
    assert whole(bucket, address, start=1_000_000, etag=etag) == (1_000_000, content[1_000_000:])
    assert whole(bucket, address, start=10, end=20) == (10, content[10:20])
    assert refused(lambda: whole(bucket, address, start=10, etag='"other"')).kind == "changed"


def test_what_goes_wrong_with_a_bucket_is_named(bucket, monkeypatch):
    missing = refused(lambda: bucket.entry(parse("s3://set/none.mp4")))
    assert (missing.kind, missing.lasting) == ("not_found", True) and "s3://set/none.mp4" in str(missing)
    assert refused(lambda: bucket.entry(parse("s3://other/x.mp4"))).kind == "not_allowed"
    assert "rename the object" in str(refused(lambda: bucket.entry(parse("s3://set/a//b.mp4"))))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    gone = refused(lambda: Files(Hosts(["s3://gone"]), 5, SOON).entry(parse("s3://gone/x.mp4")))
    assert (gone.kind, gone.lasting) == ("unreachable", False)
    with web_server() as server:
        server.faults["/closed/x.mp4"] = Fault(times=9, status=403)
        server.faults["/busy/x.mp4"] = Fault(times=2, status=503)
        server.files["/busy/x.mp4"] = b"there"
        server.files["/slow/x.mp4"] = b"there"
        server.faults["/slow/x.mp4"] = Fault(times=9, pause=2)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        files = Files(Hosts(["s3://*"]), 0.5, SOON)
        assert refused(lambda: files.entry(parse("s3://closed/x.mp4"))).kind == "forbidden"
        assert files.entry(parse("s3://busy/x.mp4")).size_bytes == 5
        assert refused(lambda: whole(files, "s3://slow/x.mp4")).kind == "timed_out"
        body = b"<Error><Code>ExpiredToken</Code><Message>It has expired.</Message></Error>"
        server.faults["/old/x.mp4"] = Fault(times=9, status=400, body=body)
        with pytest.raises(SetupError, match=r"^s3://old: the keys in the environment have expired; renew"):
            whole(files, "s3://old/x.mp4")
        body = b"<Error><Code>SignatureDoesNotMatch</Code><Message>It does not.</Message></Error>"
        server.faults["/mine/x.mp4"] = Fault(times=9, status=403, body=body)
        with pytest.raises(
            SetupError, match=r"^s3://mine: the server does not know the keys in the environment; correct"
        ):
            whole(files, "s3://mine/x.mp4")


def test_lists_of_azure_have_the_etags_of_their_objects(monkeypatch):
    etag = hashlib.md5(b"there").hexdigest()
    about = f"<Content-Length>5</Content-Length><Content-Type>video/mp4</Content-Type><Etag>{etag}</Etag>"
    blob = f"<Name>raw/x.mp4</Name><Properties><Last-Modified>{MODIFIED}</Last-Modified>{about}</Properties>"
    with web_server() as server:
        listed = f"<EnumerationResults><Blobs><Blob>{blob}</Blob></Blobs><NextMarker/></EnumerationResults>"
        server.files |= {"/box": listed.encode(), "/box/raw/x.mp4": b"there"}
        own = {"STORAGE_ACCOUNT_NAME": "me", "ENDPOINT": server.url, "SKIP_SIGNATURE": "true", "ALLOW_HTTP": "true"}
        for name, value in own.items():
            monkeypatch.setenv(f"AZURE_{name}", value)
        files = Files(Hosts(["az://box"]), 5, SOON)
        (entry,) = files.below(parse("az://box/raw"))
        assert entry.path == "x.mp4" and entry.etag == f'"{etag}"'
        assert files.entry(parse("az://box/raw/x.mp4")).etag == entry.etag
        assert whole(files, "az://box/raw/x.mp4") == (0, b"there")


def test_an_object_is_written_in_parts_and_removed(bucket, tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(40_000_000))
    address = parse("s3://set/out/large.bin")
    bucket.write(address, file)
    bucket.write(parse("s3://set/out/small.txt"), b"small")
    assert bucket.entry(address).etag.endswith('-3"')  # of three parts
    assert whole(bucket, str(address)) == (0, file.read_bytes())
    assert bucket.content(parse("s3://set/out/small.txt"), 10) == b"small"
    assert "more than 2 bytes" in str(refused(lambda: bucket.content(parse("s3://set/out/small.txt"), 2)))
    for _ in range(2):
        bucket.remove(address)
    assert refused(lambda: bucket.entry(address)).kind == "not_found"


def test_keys_come_from_the_files_of_the_providers_tools(monkeypatch, tmp_path):
    with web_server() as server:
        server.files["/set/x.mp4"] = b"there"
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        keys = tmp_path / "credentials"
        keys.write_text(f"[work]\naws_access_key_id = OF_WORK\naws_secret_access_key = {SECRET}%\n")
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_PROFILE", "work")
        address = parse("s3://set/x.mp4")
        assert Files(Hosts(["s3://set"]), 4, SOON).entry(address).size_bytes == 5
        assert "OF_WORK" in server.asked[-1][2]["authorization"]
        monkeypatch.setenv("AWS_PROFILE", "play")
        with pytest.raises(SetupError, match="no keys of the profile `play`"):
            Files(Hosts(["s3://set"]), 3, SOON).entry(address)
