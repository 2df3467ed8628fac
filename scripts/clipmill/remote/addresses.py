"""Addresses of files elsewhere. One that holds a password or a key is refused, and no message repeats it.

A message shows an address without its query, which may hold a signature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

S3, GS, AZ, HTTPS, HTTP, HF = SCHEMES = ("s3", "gs", "az", "https", "http", "hf")
BUCKETS, WEB = (S3, GS, AZ), (HTTPS, HTTP)

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_DATASET = re.compile(r"datasets/([\w.-]+/[\w.-]+)(?:@([^/@]+))?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Names of the parts of a query that sign a link for a while, and of those that are a key for ever.
_SIGNATURES = {"x-amz-signature", "x-goog-signature", "x-oss-signature", "signature", "sig"}
_KEY = re.compile("auth|key|token|secret|passw|credential", re.IGNORECASE)
_DEFAULT_PORTS = {HTTPS: ":443", HTTP: ":80"}


class BadAddress(ValueError):
    """A text is no address that can be used. The message shows no part of it that may be secret."""


@dataclass(frozen=True)
class Address:
    """`place`: the bucket, the container, the host with its port, or the dataset on the hub as `user/name`.

    `path`: the key in the bucket, or the file in the dataset, as it is called there; of a host the path with its
    percent signs. `revision`: of a dataset. `query`: of a host, without `?`.
    """

    scheme: str
    place: str
    path: str
    revision: str = ""
    query: str = field(default="", repr=False)

    def __str__(self) -> str:
        """The address without its query: what a message shows."""
        return f"{self.root}/{self.path}"

    @property
    def root(self) -> str:
        """The address of the place, with the revision."""
        return self.whole_place + (f"@{quote(self.revision, safe='')}" if self.revision else "")

    @property
    def whole_place(self) -> str:
        """The address of the place, as `fetch.hosts` names it."""
        return f"{self.scheme}://{'datasets/' if self.scheme == HF else ''}{self.place}"

    @property
    def full(self) -> str:
        """The whole address. It may hold a signature: for the request and for the index alone."""
        return str(self) + (f"?{self.query}" if self.query else "")

    @property
    def is_signed(self) -> bool:
        """Whether the query holds a signature."""
        return any(name.lower() in _SIGNATURES for name, _ in parse_qsl(self.query))

    @property
    def name(self) -> str:
        """What the file is called for ever: a signature, which is another one each time, does not belong to it."""
        return str(self) if self.is_signed else self.full

    def below(self, path: str) -> Address:
        """The address of a path below this one, which is taken as a folder."""
        start = self.path.rstrip("/")
        return Address(self.scheme, self.place, f"{start}/{path}" if start else path, self.revision)


def is_address(text: str) -> bool:
    """Whether a text is meant as an address, of whatever scheme, and not as a path."""
    return _SCHEME.match(text) is not None


def parse(text: str) -> Address:
    """Read an address. Raises BadAddress for one that cannot be used or that holds a password or a key."""
    found = _SCHEME.match(text)
    if not found:
        raise BadAddress("this is no address, which begins with a scheme and `://`")
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme not in SCHEMES:
        raise BadAddress(f"nothing is read by `{scheme}://`; use {', '.join(f'{name}://' for name in SCHEMES)}")
    if _CONTROL.search(text):
        raise BadAddress(f"a `{scheme}://` address holds a line break or another control character")
    if scheme in WEB:
        return _of_host(scheme, rest)
    return _of_dataset(rest) if scheme == HF else _of_bucket(scheme, rest)


def _of_bucket(scheme: str, rest: str) -> Address:
    bucket, _, key = rest.partition("/")
    if "@" in bucket or ":" in bucket:
        raise BadAddress(_secret(scheme))
    if not _BUCKET.fullmatch(bucket):
        raise BadAddress(f"a `{scheme}://` address begins with the name of a bucket, as in {scheme}://bucket/folder")
    return Address(scheme, bucket, key)


def _of_dataset(rest: str) -> Address:
    if not rest.startswith("datasets/") and "@" in rest.partition("/")[0]:
        raise BadAddress(_secret(HF))
    found = _DATASET.match(rest)
    if not found or rest[found.end() : found.end() + 1] not in ("", "/"):
        raise BadAddress(
            "an `hf://` address names a dataset, as in hf://datasets/user/name/folder or user/name@revision"
        )
    return Address(HF, found[1], rest[found.end() + 1 :], unquote(found[2] or ""))


def _of_host(scheme: str, rest: str) -> Address:
    host, path, query = _parts(scheme, rest)
    if "@" in host:
        raise BadAddress(_secret(scheme))
    host = host.lower().removesuffix(_DEFAULT_PORTS[scheme])
    if not _HOST.fullmatch(host):
        raise BadAddress(f"a `{scheme}://` address has no host that can be used")
    address = Address(scheme, host, path.removeprefix("/"), query=query)
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if not address.is_signed and any(map(_KEY.search, names)):
        raise BadAddress(_secret(scheme))
    return address


def _parts(scheme: str, rest: str) -> tuple[str, str, str]:
    try:
        parts = urlsplit(f"{scheme}://{rest}")
    except ValueError:
        raise BadAddress(f"a `{scheme}://` address has no host that can be used") from None
    return parts.netloc, parts.path, parts.query


def _secret(scheme: str) -> str:
    return (
        f"a `{scheme}://` address holds a user, a password or a key; take it out, and give it by the environment "
        "(docs/remote.md)"
    )
