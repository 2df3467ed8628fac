"""A real server of S3's protocol on the loopback: moto's. Its objects live as long as the test that started it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

KEYS = {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "made-secret", "AWS_REGION": "us-east-1"}
HASHED = hashlib.md5  # the etag of an object that was written at once


@contextmanager
def bucket_server() -> Iterator[str]:
    """The address of an empty server."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def environment(url: str) -> dict[str, str]:
    """The environment in which clipmill finds the server."""
    return {**KEYS, "AWS_ENDPOINT_URL": url, "AWS_ALLOW_HTTP": "true"}


def fill(url: str, bucket: str, objects: dict[str, bytes | Path]) -> None:
    """Make a bucket, and objects in it, by another client than clipmill's."""
    client = _client(url)
    client.create_bucket(Bucket=bucket)
    for key, content in objects.items():
        body = content.read_bytes() if isinstance(content, Path) else content
        client.put_object(Bucket=bucket, Key=key, Body=body)


def objects_below(url: str, bucket: str, start: str) -> dict[str, bytes]:
    """The objects whose keys begin with `start`, by the rest of their keys, read by another client than clipmill's."""
    client = _client(url)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
    keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
    return {key[len(start) :]: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def _client(url: str) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name=KEYS["AWS_REGION"],
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
