"""Sending a dataset to the Hugging Face hub by huggingface_hub: hundreds of files per commit, lists in the last one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from clipmill.base.errors import ItemError, in_line
from clipmill.base.human import counted
from clipmill.remote.addresses import Address
from clipmill.remote.entries import Entry
from clipmill.remote.errors import FAILED, FORBIDDEN, NOT_FOUND, RemoteError, without_queries
from clipmill.remote.files import Files
from clipmill.upload.dataset import Outcome, Sending

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, HfApi

FILES_PER_COMMIT, BYTES_PER_COMMIT = 500, 10 * 10**9  # a killed upload sends at most these again
PATHS_AT_ONCE = 100  # that are asked about


class Hub:
    """A dataset.Place in a dataset of the hub, which exists: whether it is private is for its owner to say."""

    def __init__(self, address: Address, files: Files, parallel: int):
        self._address, self._files, self._parallel = address, files, parallel

    def entries(self) -> Iterator[Entry]:
        try:
            yield from self._files.below(self._address)
        except RemoteError as error:
            if error.kind != NOT_FOUND:
                raise
            # The hub says the same of a folder that is not there yet. The files beside it show the dataset.
            if self._address.path and self._exists(replace(self._address, path="")):
                return
            raise self._not_there() from error

    def _exists(self, dataset: Address) -> bool:
        try:
            next(self._files.below(dataset), None)
        except RemoteError as error:
            if error.kind == NOT_FOUND:
                return False
            raise
        return True

    def send(self, files: Sequence[Sending]) -> Iterator[Outcome]:
        for some in commits(files):
            yield from self._commit(some, ())

    def finish(self, lists: Sequence[Sending], gone: Sequence[str]) -> Iterator[Outcome]:
        if lists or gone:
            yield from self._commit(lists, gone)

    def _commit(self, files: Sequence[Sending], gone: Iterable[str]) -> Iterator[Outcome]:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi(library_name="clipmill")
        added = [CommitOperationAdd(self._path(file.below), str(file.path)) for file in files]
        removed = [CommitOperationDelete(self._path(below)) for below in gone]
        with self._explained():
            api.create_commit(
                self._address.place,
                [*added, *removed],
                commit_message=f"clipmill: {counted(len(added), 'file')}"
                + (f", {len(removed)} removed" if removed else ""),
                repo_type="dataset",
                revision=self._address.revision or None,
                num_threads=self._parallel,
            )
            etags = self._etags(api, added)
        yield from ((file, etags.get(self._path(file.below))) for file in files)

    def _etags(self, api: HfApi, added: Sequence[CommitOperationAdd]) -> dict[str, str]:
        """The etags of files that were sent, as the list of the dataset will have them."""
        found: dict[str, str] = {}
        revision = self._address.revision or None
        for first in range(0, len(added), PATHS_AT_ONCE):
            paths = [one.path_in_repo for one in added[first : first + PATHS_AT_ONCE]]
            for info in api.get_paths_info(self._address.place, paths, repo_type="dataset", revision=revision):
                found[info.path] = f'"{info.lfs.sha256 if info.lfs else info.blob_id}"'
        return found

    def _path(self, below: str) -> str:
        return self._address.below(below).path

    @contextmanager
    def _explained(self) -> Iterator[None]:
        from httpx2 import HTTPError
        from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

        try:
            yield
        except RepositoryNotFoundError as error:
            raise self._not_there() from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            kind = FORBIDDEN if status in (401, 403) else FAILED
            raise self._failure(kind, f"the hub answers with status {status}", error) from error
        except HTTPError as error:
            raise self._failure(FAILED, "the hub cannot be reached", error) from error

    def _not_there(self) -> ItemError:
        how = f"make it with `hf repos create {self._address.place} --type dataset`"
        message = f"{self._address}: the hub has no such dataset, or HF_TOKEN may not write to it; {how}"
        return ItemError(NOT_FOUND, message, lasting=False)

    def _failure(self, kind: str, what: str, error: Exception) -> ItemError:
        return ItemError(kind, f"{self._address}: {what} ({without_queries(in_line(error))})", lasting=False)


def commits(files: Sequence[Sending]) -> Iterator[list[Sending]]:
    """Files in groups that are sent by one commit each."""
    group: list[Sending] = []
    size = 0
    for file in files:
        room = file.path.stat().st_size
        if group and (len(group) >= FILES_PER_COMMIT or size + room > BYTES_PER_COMMIT):
            yield group
            group, size = [], 0
        group.append(file)
        size += room
    if group:
        yield group
