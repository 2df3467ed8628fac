"""Object storage: S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage, all by obstore.

Keys come from the environment, or from the files in which the providers' own tools keep them, and from nowhere else.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clipmill.base.errors import SetupError, in_line
from clipmill.remote.addresses import AZ, GS, S3, Address
from clipmill.remote.entries import Entry, Reading
from clipmill.remote.errors import (
    FAILED,
    TIMED_OUT,
    UNREACHABLE,
    RemoteError,
    of_status,
    without_queries,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

LIST_AT_ONCE = 1000  # entries in memory while a bucket is listed: what a server sends at once
READ_AT_ONCE = 1 << 18  # bytes; fewer are lost where a connection ends
WRITE_AT_ONCE = 16 << 20  # bytes of a part: S3 takes 10,000 parts
PARTS_AT_ONCE = 4  # of one object, all in memory
RETRIES = 6  # of one request of a listing or a writing; for reading `files` and the transfers try again
_FOR_EVER = timedelta(days=30)  # obstore's own limit is one for the whole file

_STATUS = re.compile(r"status code: (\d{3})|status: (\d{3})")
_TIMED_OUT = re.compile(r"kind: Timeout|TimedOut|timed out")
_NO_KEYS = re.compile(r"169\.254\.|computeMetadata|MissingAccount|[Mm]issing.?[Cc]redential|microsoftonline")
_NO_HTTP = "BadScheme"
_EXPIRED = "ExpiredToken"
_WRONG_KEYS = re.compile(r"InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|AuthenticationFailed")
_ALLOW_HTTP = {S3: "AWS_ALLOW_HTTP", GS: "GOOGLE_ALLOW_HTTP", AZ: "AZURE_ALLOW_HTTP"}
_KEYS = {S3: "AWS_ACCESS_KEY_ID", GS: "GOOGLE_APPLICATION_CREDENTIALS", AZ: "AZURE_STORAGE_ACCOUNT_NAME"}


def entries_below(address: Address, timeout_seconds: float) -> Iterator[Entry]:
    """All objects below an address, as they come: their number costs no memory. Raises RemoteError."""
    import obstore

    store = _store(address, timeout_seconds, RETRIES)
    start = address.path.strip("/")
    with _explained(address):
        for some in obstore.list(store, start or None, chunk_size=LIST_AT_ONCE):
            yield from (_entry(one, one["path"][len(start) :].lstrip("/")) for one in some)


def entry_of(address: Address, timeout_seconds: float) -> Entry:
    """What the store knows of an object. Raises RemoteError."""
    import obstore

    with _explained(address):
        return _entry(obstore.head(_store(address, timeout_seconds, 0), address.path), address.path.split("/")[-1])


@contextmanager
def reading(
    address: Address, timeout_seconds: float, start: int, end: int | None, etag: str | None
) -> Iterator[Reading]:
    """The bytes of an object from `start` up to `end`; with an `etag` only if it still has it. Raises RemoteError."""
    import obstore

    options: Any = {"if_match": etag} if etag else {}
    if end is not None:
        options["range"] = (start, end)
    elif start:
        options["range"] = {"offset": start}
    with _explained(address):
        result = obstore.get(_store(address, timeout_seconds, 0), address.path, options=options)
    yield Reading(_entry(result.meta, address.path.split("/")[-1]), result.range[0], _chunks(address, result))


def _chunks(address: Address, result: Any) -> Iterator[bytes]:
    with _explained(address):
        for chunk in result.stream(min_chunk_size=READ_AT_ONCE):
            yield bytes(chunk)


def write(address: Address, file: Path | bytes, timeout_seconds: float) -> str | None:
    """Write an object: whole or not at all, a large one in parts. Returns its etag. Raises RemoteError."""
    import obstore

    with _explained(address):
        store, parts = _store(address, timeout_seconds, RETRIES), {"chunk_size": WRITE_AT_ONCE}
        result = obstore.put(store, address.path, file, max_concurrency=PARTS_AT_ONCE, **parts)
    return _etag(result["e_tag"])


def remove(address: Address, timeout_seconds: float) -> None:
    """Remove an object; none is fine. Raises RemoteError."""
    import obstore

    with _explained(address), suppress(FileNotFoundError):
        obstore.delete(_store(address, timeout_seconds, RETRIES), address.path)


def _entry(meta: Mapping[str, Any], path: str) -> Entry:
    return Entry(path, meta["size"], _etag(meta["e_tag"]), int(meta["last_modified"].timestamp()) * 10**9)


def _etag(text: str | None) -> str | None:
    """An etag with its quotes: Azure's lists lack them, and its other answers have them."""
    return f'"{text}"' if text and not text.endswith('"') else text


# --- stores and keys -------------------------------------------------------------------------------------------------


def _store(address: Address, timeout_seconds: float, retries: int) -> ObjectStore:
    return _opened(address.scheme, address.place, timeout_seconds, retries)


@lru_cache(maxsize=64)
def _opened(scheme: str, bucket: str, timeout_seconds: float, retries: int) -> ObjectStore:
    """The store of a bucket, which keeps its connections. Raises SetupError if it cannot be set up."""
    try:
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError as error:
        raise SetupError(
            f"{scheme}://{bucket}: the package obstore, which reads object storage, is missing ({error.name}); run "
            "`make install` in clipmill's folder"
        ) from error
    from obstore.exceptions import BaseError

    limit = timedelta(seconds=timeout_seconds)
    options: dict[str, Any] = {
        "client_options": {
            "timeout": _FOR_EVER,
            "read_timeout": limit,
            "connect_timeout": limit,
            "allow_http": os.getenv(_ALLOW_HTTP[scheme], "").lower() in ("1", "true"),
        },
        "retry_config": {"max_retries": retries},
    }
    try:
        if scheme == S3:
            return S3Store(bucket, **_shared_profile(os.environ), **options)
        return GCSStore(bucket, **options) if scheme == GS else AzureStore(bucket, **options)
    except (BaseError, ValueError, OSError) as error:
        raise SetupError(
            f"{scheme}://{bucket}: {_line(error)}; check the keys and the other settings in the environment "
            "(docs/remote.md)"
        ) from error


def _shared_profile(environment: Mapping[str, str]) -> dict[str, Any]:
    """Keys and region from the files of AWS's own tools; none if the environment has keys, or another way to them.

    Raises SetupError for a profile that is not there or that has no keys.
    """
    ways = ("ACCESS_KEY_ID", "WEB_IDENTITY_TOKEN_FILE", "CONTAINER_CREDENTIALS_RELATIVE_URI", "SKIP_SIGNATURE")
    if any(environment.get(f"AWS_{way}") for way in (*ways, "CONTAINER_CREDENTIALS_FULL_URI")):
        return {}
    folder = Path.home() / ".aws"
    keys = Path(environment.get("AWS_SHARED_CREDENTIALS_FILE") or folder / "credentials").expanduser()
    settings = Path(environment.get("AWS_CONFIG_FILE") or folder / "config").expanduser()
    wanted = environment.get("AWS_PROFILE")
    profile = wanted or "default"
    # No section is one of defaults.
    files = configparser.RawConfigParser(default_section="")
    try:
        files.read([settings, keys], encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SetupError(f"{keys} or {settings} is damaged ({type(error).__name__}); repair it") from None
    found: dict[str, str] = {}
    for section in (f"profile {profile}", profile):
        if files.has_section(section):
            found |= dict(files.items(section))
    names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
    chosen = {name: found[name] for name in names if found.get(name)}
    if wanted and len(chosen) < 2:
        raise SetupError(
            f"AWS_PROFILE: {keys} has no keys of the profile `{wanted}`; for a role or a login run `aws configure "
            "export-credentials --format env`, and put what it prints into the environment"
        )
    if found.get("region") and not (environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")):
        chosen["region"] = found["region"]
    return chosen


# --- errors ----------------------------------------------------------------------------------------------------------


@contextmanager
def _explained(address: Address) -> Iterator[None]:
    """Turn errors of obstore into a RemoteError, or into a SetupError where there are no keys."""
    from obstore import exceptions

    try:
        yield
    except FileNotFoundError as error:
        raise of_status(404, str(address)) from error
    except exceptions.PreconditionError as error:
        raise of_status(412, str(address)) from error
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        if _WRONG_KEYS.search(str(error)):
            wrong = f"{address.root}: the server does not know the keys in the environment"
            raise SetupError(f"{wrong}; correct {_KEYS[address.scheme]} and what belongs to it") from error
        raise of_status(403, str(address)) from error
    except (exceptions.BaseError, ValueError) as error:
        raise _of_text(address, error) from error


def _of_text(address: Address, error: Exception) -> RemoteError | SetupError:
    """The error for one that obstore does not give a type: the kind is in its text alone."""
    text = str(error)
    if isinstance(error, ValueError) or "InvalidPath" in type(error).__name__:
        return RemoteError(FAILED, f"{address}: {_line(error)}; rename the object")
    if _NO_HTTP in text:
        return SetupError(
            f"{address.root}: the endpoint in the environment begins with http://, so that nothing is encrypted; "
            f"if it is meant, set {_ALLOW_HTTP[address.scheme]}=true in the environment"
        )
    if _EXPIRED in text:
        return SetupError(f"{address.root}: the keys in the environment have expired; renew them, and run again")
    if _NO_KEYS.search(text):
        return SetupError(
            f"{address.root}: no keys were found ({_line(error)}); set {_KEYS[address.scheme]} and what belongs to "
            "it in the environment (docs/remote.md)"
        )
    if found := _STATUS.search(text):
        return of_status(int(found[1] or found[2]), str(address))
    if _TIMED_OUT.search(text):
        return RemoteError(TIMED_OUT, f"{address}: the server does not answer in time", again=True)
    return RemoteError(UNREACHABLE, f"{address}: the connection failed ({_line(error)})", again=True)


def _line(error: BaseException) -> str:
    """The first line of an error of obstore; what follows it is for its makers."""
    first = str(error).strip().split("\n", 1)[0]
    return without_queries(in_line(type(error)(first)))[:200]
