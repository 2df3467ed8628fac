"""The server of `snakemake browse`, over real HTTP: what it serves, and everything that it refuses."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clipmill.base.errors import SetupError
from clipmill.review import server as serving
from clipmill.review.server import Server, byte_range
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.review import Decision, read_review
from serving import in_a_thread

TOOL = Path(__file__).resolve().parents[2] / "scripts" / "browse.py"
CLIP = bytes(range(256)) * 40
LINE = Decision("v_1", "drop", False, "A text – with <b>", "key", "2026-11-30T22:30:00Z").as_line()


@pytest.fixture
def outdir(tmp_path: Path) -> Path:
    """An output folder with a clip, and outside of it a video of the index and a secret."""
    out = tmp_path / "out put"
    (out / "dataset" / "clips").mkdir(parents=True)
    (out / "dataset" / "clips" / "ä #1?.mp4").write_bytes(CLIP)
    (out / "review.html").write_text("<p>the page</p>")
    (out / "evil.html").write_text("<script>alert(1)</script>")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "film.mkv").write_bytes(b"film")
    videos = [{"video_id": "v/1 ä", "path": str(tmp_path / "film.mkv")}, {"video_id": "gone", "path": "/no/such.mp4"}]
    tables.INDEX.write(Paths(out).videos, [{"name": "n", "shard": 0, "present": True, **video} for video in videos])
    return out


@pytest.fixture
def server(outdir: Path) -> Iterator[Server]:
    with running(outdir) as server:
        yield server


@contextmanager
def running(outdir: Path) -> Iterator[Server]:
    with Server(outdir) as server, in_a_thread(server):
        yield server


class Answer:
    def __init__(self, found: http.client.HTTPResponse):
        self.status, self.headers, self.body = found.status, found.headers, found.read()


def ask(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    """An answer of the server to a request with its token."""
    return ask_any(server, f"/{server.token}{path}", method, body, **headers)


def ask_any(server: Server, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    answer = Answer(connection.getresponse())
    connection.close()
    return answer


def raw(server: Server, request: str) -> bytes:
    """The answer to bytes as they are: http.client tidies what it sends."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(request.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65_536), b""))


# --- reading ----------------------------------------------------------------------------------------------------------


def test_it_serves_the_page_and_the_clips_at_an_address_of_this_machine_with_a_token(server):
    assert server.server_address[0] == "127.0.0.1"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{43}/review\.html", server.address)
    page = ask(server, "/review.html")
    assert (page.status, page.body) == (200, b"<p>the page</p>")
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Referrer-Policy"] == "no-referrer"
    assert ask(server, "/").headers["Location"] == "review.html"
    clip = ask(server, "/dataset/clips/%C3%A4%20%231%3F.mp4?x=1")
    assert (clip.status, clip.body, clip.headers["Content-Type"]) == (200, CLIP, "video/mp4")
    assert ask(server, "/review.html", Host=f"localhost:{server.server_port}").status == 200
    # A page that clipmill has not made is no page here.
    assert ask(server, "/evil.html").headers["Content-Type"] == "application/octet-stream"


def test_two_servers_have_different_tokens(outdir):
    with Server(outdir) as one, Server(outdir) as other:
        assert one.token != other.token and one.server_port != other.server_port


def test_parts_of_a_file(server):
    size, path = len(CLIP), "/dataset/clips/%C3%A4%20%231%3F.mp4"
    for wanted, start, end in (
        ("bytes=0-9", 0, 10),
        ("bytes=100-", 100, size),
        ("bytes=-5", size - 5, size),
        (f"bytes=10-{size + 99}", 10, size),
        (f"bytes=-{size + 99}", 0, size),
    ):
        part = ask(server, path, Range=wanted)
        assert (part.status, part.body) == (206, CLIP[start:end]), wanted
        assert part.headers["Content-Range"] == f"bytes {start}-{end - 1}/{size}"
        head = ask(server, path, "HEAD", Range=wanted)
        assert (head.status, head.body, head.headers["Content-Length"]) == (206, b"", str(end - start))
    for wanted in (f"bytes={size}-", "bytes=-0", "bytes=999999999999-"):
        answer = ask(server, path, Range=wanted)
        assert (answer.status, answer.headers["Content-Range"]) == (416, f"bytes */{size}"), wanted
    for wanted in ("bytes=9-1", "bytes=-", "frames=0-1", "bytes=0-1,4-5", "bytes=a-b"):
        assert ask(server, path, Range=wanted).status == 200, wanted
    mark = ask(server, path, "HEAD").headers["ETag"]
    assert ask(server, path, Range="bytes=0-1", If_Range=mark).status == 206
    assert ask(server, path, Range="bytes=0-1", If_Range='"another"').status == 200


def test_an_empty_file_has_no_part():
    assert byte_range(None, 0) is None
    with pytest.raises(ValueError):
        byte_range("bytes=0-", 0)


def test_source_videos_are_served_by_ids_of_the_index_alone(server, outdir):
    film = ask(server, "/source/v%2F1%20%C3%A4", Range="bytes=1-2")
    assert (film.status, film.body, film.headers["Content-Type"]) == (206, b"il", "video/x-matroska")
    for other in ("gone", "film.mkv", "..%2Fsecret.txt", "v/1", "", f"{outdir.parent}/film.mkv"):
        assert ask(server, f"/source/{other}").status == 404, other


# --- what is refused --------------------------------------------------------------------------------------------------


def test_without_its_token_nothing_is_said(server):
    paths = [
        "/",
        "/review.html",
        f"/{server.token[:-1]}/review.html",
        "//review.html",
        f"/x/{server.token}/review.html",
    ]
    for path in [*paths, f"/?token={server.token}", "/%00/review.html"]:
        answer = ask_any(server, path)
        assert (answer.status, b"the page" in answer.body) == (403, False), path
        assert server.token.encode() not in answer.body
    assert b" 403 " in raw(server, f"GET /\xe4/review.html HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n")
    assert b" 403 " in raw(server, f"GET review.html HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n")


def test_other_hosts_are_refused(server):
    port = server.server_port
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1",
        f"127.0.0.1:{port + 1}",
        f"127.0.0.1.nip.io:{port}",
    ):
        assert ask(server, "/review.html", Host=host).status == 403, host
    start, own = f"GET /{server.token}/review.html HTTP/1.1\r\n", f"Host: 127.0.0.1:{port}\r\n"
    assert raw(server, f"{start}{own}\r\n").startswith(b"HTTP/1.1 200")
    for heads in ("", f"{own}Host: evil.example\r\n", f"Host: evil.example\r\n{own}"):
        assert raw(server, f"{start}{heads}\r\n").startswith(b"HTTP/1.1 403"), heads
    assert raw(server, f"GET http://evil.example/{server.token}/review.html HTTP/1.1\r\n{own}\r\n").startswith(
        b"HTTP/1.1 403"
    )


def test_paths_outside_the_folder_are_refused(server, outdir):
    (outdir / "link.txt").symlink_to(outdir.parent / "secret.txt")
    (outdir / "folder").symlink_to(outdir.parent)
    (outdir / "inside.txt").symlink_to(outdir / "evil.html")
    os.mkfifo(outdir / "pipe")
    ups = ["/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/dataset/../../secret.txt", "/./review.html"]
    ups += [
        "/..\\secret.txt",
        f"/{outdir.parent}/secret.txt",
        "//etc/passwd",
        "/%2Fetc%2Fpasswd",
        "/review.html%00.mp4",
    ]
    for path in [*ups, "/dataset", "/dataset/", "/dataset/clips/none.mp4", "/pipe", "/review.html/", "/a" * 3000]:
        answer = ask(server, path)
        assert (answer.status, b"secret" in answer.body) == (404, False), path
    for path in ("/link.txt", "/folder/secret.txt"):
        answer = ask(server, path)
        assert (answer.status, answer.body == b"secret") == (403, False), path
    assert ask(server, "/inside.txt").body == (outdir / "evil.html").read_bytes()


def test_other_methods_are_refused(server, outdir):
    before = {path: path.read_bytes() for path in outdir.rglob("*") if path.is_file()}
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "MKCOL"):
        for path in ("/review.html", "/review.jsonl"):
            assert ask(server, path, method, LINE.encode()).status == 501, method
    for path in ("/review.html", "/", "/dataset/review.jsonl", "/source/gone", "/review.jsonl/", "/x/../review.jsonl"):
        assert ask(server, path, "POST", LINE.encode()).status == 405, path
    assert {path: path.read_bytes() for path in outdir.rglob("*") if path.is_file()} == before


def test_the_body_of_a_request_that_has_none_is_no_further_request(server, outdir):
    hidden = f"POST /{server.token}/review.jsonl HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    hidden += f"Content-Length: {len(LINE.encode())}\r\n\r\n"
    begin = f"GET /{server.token}/review.html HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    for length in (f"Content-Length: {len(hidden) + len(LINE.encode())}", "Transfer-Encoding: chunked"):
        answer = raw(server, f"{begin}{length}\r\n\r\n{hidden}{LINE.encode().decode('latin-1')}")
        assert answer.startswith(b"HTTP/1.1 400 ") and answer.count(b"HTTP/1.1") == 1
    assert not (outdir / "review.jsonl").exists()


# --- decisions --------------------------------------------------------------------------------------------------------


def test_decisions_are_added_to_one_file_and_read_back(server, outdir):
    nothing = ask(server, "/review.jsonl")
    assert (nothing.status, nothing.body, nothing.headers["Clipmill-Browse"]) == (200, b"", "1")
    own = f"http://127.0.0.1:{server.server_port}"
    assert ask(server, "/review.jsonl", "POST", LINE.encode(), Origin=own).status == 204
    (outdir / "review.jsonl").write_bytes((outdir / "review.jsonl").read_bytes().rstrip())  # as an editor may leave it
    later = json.loads(LINE) | {"decision": None, "star": True, "at": "2026-11-30T22:31:00Z"}
    assert ask(server, "/review.jsonl", "POST", json.dumps(later).encode() + b"\n\n").status == 204
    text = ask(server, "/review.jsonl").body.decode()
    assert text == (outdir / "review.jsonl").read_text(encoding="utf-8") and text.startswith(LINE)
    assert read_review(outdir / "review.jsonl") == {"v_1": Decision(**later)}


def test_decisions_of_many_pages_at_once_are_all_whole(server, outdir):
    def add(page: int) -> None:
        for number in range(10):
            line = json.loads(LINE) | {"clip_id": f"{page} {number}", "text": "word " * 3000}
            assert ask(server, "/review.jsonl", "POST", json.dumps(line).encode()).status == 204

    threads = [threading.Thread(target=add, args=(page,)) for page in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_review(outdir / "review.jsonl")) == 60


def test_decisions_without_the_token_or_of_other_pages_are_refused(server, outdir):
    assert ask_any(server, "/review.jsonl", "POST", LINE.encode()).status == 403
    assert ask_any(server, f"/{server.token[::-1]}/review.jsonl", "POST", LINE.encode()).status == 403
    assert ask(server, "/review.jsonl", "POST", LINE.encode(), Host="evil.example").status == 403
    for origin in ("http://evil.example", "null", f"http://127.0.0.1:{server.server_port + 1}"):
        assert ask(server, "/review.jsonl", "POST", LINE.encode(), Origin=origin).status == 403
    assert not (outdir / "review.jsonl").exists()


def test_what_is_no_decision_is_refused_whole(server, outdir, monkeypatch):
    for bad in (b"{", b"[]", LINE.replace("drop", "erase").encode(), b"\xff\xfe", b'{"clip_id": "v"}'):
        answer = ask(server, "/review.jsonl", "POST", LINE.encode() + bad)
        assert (answer.status, answer.body.startswith(b"Line 2 is no decision")) == (400, True), bad
    heads = f"POST /{server.token}/review.jsonl HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n"
    for length in ("", "Content-Length: -1\r\n", "Content-Length: 9x\r\n", "Transfer-Encoding: chunked\r\n"):
        assert raw(server, f"{heads}{length}\r\n{{}}\n").startswith(b"HTTP/1.1 411"), length
    assert raw(server, f"{heads}Content-Length: {serving.MOST_SENT + 1}\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert raw(server, f"{heads}Content-Length: 5000\r\n\r\n{{}}\n").startswith(b"HTTP/1.1 400")
    assert not (outdir / "review.jsonl").exists()
    assert ask(server, "/review.jsonl", "POST", LINE.encode()).status == 204
    monkeypatch.setattr(serving, "MOST_KEPT", 200)
    assert ask(server, "/review.jsonl", "POST", LINE.encode()).status == 507
    assert (outdir / "review.jsonl").read_text(encoding="utf-8") == LINE


def test_decisions_are_not_written_through_a_link(server, outdir):
    (outdir / "review.jsonl").symlink_to(outdir.parent / "secret.txt")
    assert ask(server, "/review.jsonl", "POST", LINE.encode()).status == 403
    assert ask(server, "/review.jsonl").status == 403
    assert (outdir.parent / "secret.txt").read_text() == "secret"


# --- the command ------------------------------------------------------------------------------------------------------


def test_faults_of_the_set_up_say_what_to_do(outdir, tmp_path):
    with pytest.raises(SetupError, match="review.html: there is no such page; a run makes it"):
        Server(tmp_path / "none")
    with (
        Server(outdir) as server,
        pytest.raises(SetupError, match=r"browse\.port: \d+ cannot be used .* choose another"),
    ):
        Server(outdir, server.server_port)


def test_ctrl_c_ends_it_with_one_line(outdir):
    """It is started as Snakemake starts it: with Ctrl-C ignored."""
    ignore = "import os, signal, sys; signal.signal(2, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    command = [sys.executable, "-c", ignore, sys.executable, str(TOOL), "--outdir", str(outdir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout.readline() == "\n" and "/review.html" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0 and rest.rstrip().endswith("\n  Ended: nothing was decided.")
    assert "Traceback" not in rest
