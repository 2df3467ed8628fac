"""What is wrong with `export.upload`. Light to import, since every start asks."""

from __future__ import annotations

from importlib.util import find_spec

from clipmill.remote.addresses import BUCKETS, HF, BadAddress, parse


def fault_of(text: str) -> str | None:
    """What is wrong with `export.upload`, as far as it can be said without asking anybody; None if nothing is."""
    try:
        address = parse(text)
    except BadAddress as error:
        return str(error)
    if address.scheme not in (*BUCKETS, HF):
        return f"nothing is written by `{address.scheme}://`; name a bucket (s3://, gs://, az://) or hf://datasets/user/name"
    if address.scheme == HF and find_spec("huggingface_hub") is None:
        return "hf:// needs the package huggingface_hub: run `make models` in clipmill's folder"
    return None
