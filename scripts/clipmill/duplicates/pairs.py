"""All pairs of clips of a run that are alike. What has been compared once is not compared again."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.duplicates import embedded, matching
from clipmill.duplicates.cells import as_moves
from clipmill.duplicates.search import LENGTH, UNIT, near_pairs
from clipmill.duplicates.version import is_comparable
from clipmill.store import tables
from clipmill.store.layout import Paths
from clipmill.store.table import UnreadableTable, about, about_of

log = logging.getLogger("clipmill")

VERSION = 3  # of the way in which clips are compared
TOGETHER = 64  # pairs of clips whose moves are compared at once
ROWS_TOGETHER = 1 << 14  # pairs whose sketches or embeddings are compared at once
CLIPS = 1 << 17  # clips whose moves are in memory at the same time
DECIMALS = 4  # of similarities


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of all clips that have one, by rising id.

    `sketches`: clips × halves × numbers; of embeddings one half. `places`: of each clip the number of its shard, and
    its row.
    """

    ids: Sequence[str]
    digests: np.ndarray
    sketches: np.ndarray
    places: np.ndarray
    shards: Sequence[Path]

    @staticmethod
    def read(outdir: Path, shards: Iterable[str], backend: str) -> Fingerprints:
        """The rest of the fingerprints stays on disk until it is needed.

        Raises SetupError if some are of another backend, or of another version of it: they cannot be compared.
        """
        paths = [tables.FINGERPRINTS.of(outdir, shard) for shard in shards]
        parts = [tables.FINGERPRINTS.read(path, ["clip_id", "digest", "sketch"]) for path in paths]
        _check_versions(dict(zip(paths, parts, strict=True)), backend)
        there = [np.flatnonzero(part["sketch"].is_valid().to_numpy()) for part in parts]
        places = np.concatenate(
            [_numbered(number, rows) for number, rows in enumerate(there)] or [np.empty((0, 2), int)]
        )
        whole = pa.concat_tables([part.take(rows) for part, rows in zip(parts, there, strict=True)])
        ids = whole["clip_id"].to_pylist()
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        sketches = np.frombuffer(b"".join(whole["sketch"].to_pylist()), np.int16).reshape(len(ids), -1, LENGTH)
        return Fingerprints(
            [ids[row] for row in order], whole["digest"].to_numpy()[order], sketches[order], places[order], paths
        )

    def column(self, name: str, rows: np.ndarray) -> pa.Array:
        """The values of a column for some rows, one at least."""
        parts, back = [], []
        for number in np.unique(self.places[rows, 0]).tolist():
            here = np.flatnonzero(self.places[rows, 0] == number)
            values = tables.FINGERPRINTS.read(self.shards[number], [name])[name]
            if values.type == pa.binary():
                values = values.cast(pa.large_binary())
            parts += values.take(self.places[rows[here], 1]).chunks
            back.append(here)
        return pa.concat_arrays(parts).take(np.argsort(np.concatenate(back)))


def _check_versions(parts: Mapping[Path, pa.Table], backend: str) -> None:
    others = [
        path for path, part in parts.items() if not is_comparable(about_of(part.schema).get("settings", {}), backend)
    ]
    if others:
        more = f" and {counted(len(others) - 1, 'more table')}" if len(others) > 1 else ""
        raise SetupError(
            f"{others[0]}{more}: fingerprints of another version of `{backend}`, which cannot be compared with "
            "those of this one; run once with `--forcerun fingerprint_clips`, which keeps those that would be the same"
        )


def _numbered(number: int, rows: np.ndarray) -> np.ndarray:
    return np.column_stack([np.full(len(rows), number), rows])


@dataclass(frozen=True)
class Pairs:
    """Pairs of clips, as row numbers (n × 2, the first one smaller), and how alike they are."""

    rows: np.ndarray
    similarity: np.ndarray

    def within(self, is_in: np.ndarray, least: float) -> Pairs:
        """The pairs of which both clips are in, at least so alike."""
        wanted = is_in[self.rows].all(1) & (self.similarity >= least)
        return Pairs(self.rows[wanted], self.similarity[wanted])

    def __add__(self, other: Pairs) -> Pairs:
        """Both, sorted."""
        rows = np.concatenate([self.rows, other.rows])
        order = np.lexsort((rows[:, 1], rows[:, 0]))
        return Pairs(rows[order], np.concatenate([self.similarity, other.similarity])[order])


NO_PAIRS = Pairs(np.empty((0, 2), np.int64), np.empty(0))


def find_pairs(outdir: Path, fingerprints: Fingerprints, settings: Mapping[str, Any], threads: int = 1) -> Pairs:
    """All pairs of clips that are alike, sorted. `settings`: the config's `duplicates`.

    Only clips that earlier runs have not compared are compared, with all others. The result is the same.
    """
    path = Paths(outdir).pairs(settings["backend"])
    least = round(1 - settings["eps"], DECIMALS) if settings["backend"] == "embeddings" else 0.0
    known, is_new = _read_known(path, fingerprints, least)
    log.info("%s to compare with %d others", counted(int(is_new.sum()), "clip"), int((~is_new).sum()))
    if not is_new.any():
        return known.within(np.ones(len(fingerprints.ids), bool), least)
    rows = _near(fingerprints.sketches, is_new, settings, threads)
    log.info("%s to look at", counted(len(rows), "pair"))
    similarity = np.empty(0)
    if len(rows):
        similarity = np.round(_SIMILARITIES[settings["backend"]](fingerprints, rows, threads), DECIMALS)
    alike = similarity >= max(least, 10**-DECIMALS)
    found = known + Pairs(rows[alike], similarity[alike])
    _write(path, fingerprints.digests, found, least)
    return found.within(np.ones(len(fingerprints.ids), bool), least)


def _near(sketches: np.ndarray, is_new: np.ndarray, settings: Mapping[str, Any], threads: int) -> np.ndarray:
    """Pairs of clips that may be alike, as row numbers, sorted: those of which one half is near, at least."""
    distance, limit = matching.NEAR, matching.FARTHER
    if settings["backend"] == "embeddings":
        distance = math.sqrt(2 * settings["eps"])
        limit = embedded.WIDER * distance
    halves = np.ascontiguousarray(np.moveaxis(sketches, 1, 0))
    return np.unique(np.concatenate([near_pairs(half, is_new, distance, limit, threads) for half in halves]), axis=0)


def _of_pictures(fingerprints: Fingerprints, rows: np.ndarray, threads: int) -> np.ndarray:
    """The similarities of pairs of which a half is near, 0 where none is a copy of the other."""
    blocks = [rows[start : start + ROWS_TOGETHER] for start in range(0, len(rows), ROWS_TOGETHER)]
    halves = np.concatenate([_halves(fingerprints.sketches, block) for block in blocks])
    found = np.zeros(len(rows))
    for part in _parts(np.flatnonzero(matching.may_be_copies(halves)), rows):
        found[part] = _by_moves(fingerprints, rows[part], halves[part], threads)
    return found


def _halves(sketches: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The cosines of the halves of pairs: pairs × 2."""
    apart = sketches[rows[:, 0]].astype(np.int32) - sketches[rows[:, 1]]
    return 1 - np.einsum("ijk,ijk->ij", apart, apart) / (2 * UNIT**2)


def _parts(part: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Pieces of `part` (numbers of pairs) whose clips are few enough to have all of their moves in memory."""
    if len(part) > 1 and len(np.unique(rows[part])) > CLIPS:
        yield from _parts(part[: len(part) // 2], rows)
        yield from _parts(part[len(part) // 2 :], rows)
    elif len(part):
        yield part


def _by_moves(fingerprints: Fingerprints, rows: np.ndarray, halves: np.ndarray, threads: int) -> np.ndarray:
    """The similarities of pairs that show the same, with the cosines of their halves; 0 where no clip is a copy."""
    used, places = np.unique(rows, return_inverse=True)
    places = places.reshape(-1, 2)
    levels, down, across = (fingerprints.column(name, used) for name in ("moves", "edges_down", "edges_across"))
    of_clips = zip(levels, down.to_pylist(), across.to_pylist(), strict=True)
    moves = [as_moves(value.as_buffer(), *edges) for value, *edges in of_clips]
    shapes = np.array([one.levels.shape for one in moves])[places]
    lengths, cells = shapes[..., 0].max(1), shapes[..., 1:].min(1)
    found = np.zeros(len(rows))

    def compare(here: np.ndarray) -> None:
        first, second = ([moves[place] for place in places[here, side].tolist()] for side in (0, 1))
        moved = matching.moved_alike(first, second)
        found[here] = matching.copy_similarity(halves[here], moved, int(cells[here[0]].prod()))

    with ThreadPoolExecutor(threads) as pool:
        for shape in np.unique(cells, axis=0):
            order = np.flatnonzero((cells == shape).all(1))
            # Pairs of about the same length are compared at once.
            order = order[np.argsort(lengths[order], kind="stable")]
            parts = (order[start : start + TOGETHER] for start in range(0, len(order), TOGETHER))
            deque(pool.map(compare, parts), maxlen=0)
    return found


def _of_embeddings(fingerprints: Fingerprints, rows: np.ndarray, threads: int) -> np.ndarray:
    """The cosines of pairs."""
    used, places = np.unique(rows, return_inverse=True)
    column, places = fingerprints.column("mean_embedding", used), places.reshape(-1, 2)
    embeddings = np.frombuffer(column.buffers()[2], np.int16).reshape(len(used), -1)
    parts = (places[start : start + ROWS_TOGETHER] for start in range(0, len(rows), ROWS_TOGETHER))
    return np.concatenate([embedded.cosines(embeddings[part[:, 0]], embeddings[part[:, 1]]) for part in parts])


_SIMILARITIES = {"pictures": _of_pictures, "embeddings": _of_embeddings}


def _read_known(path: Path, fingerprints: Fingerprints, least: float) -> tuple[Pairs, np.ndarray]:
    """The pairs that earlier runs have found, and which clips are new to them. All are, if the pairs are of no use."""
    nothing = NO_PAIRS, np.ones(len(fingerprints.ids), bool)
    if not path.exists():
        return nothing
    try:
        table, made = tables.PAIRS.read(path), about(path)
    except UnreadableTable as error:
        log.warning("%s; all clips are compared again", error)
        return nothing
    if made["version"] != VERSION or made["least"] > least:
        return nothing
    order = np.argsort(fingerprints.digests)
    digests = fingerprints.digests[order]
    wanted = np.column_stack([table["first"].to_numpy(), table["second"].to_numpy()])
    places = np.minimum(np.searchsorted(digests, wanted), len(digests) - 1)
    is_there = (digests[places] == wanted).all(1) if len(digests) else np.zeros(len(wanted), bool)
    rows, similarity = np.sort(order[places[is_there]], 1), table["similarity"].to_numpy()[is_there]
    compared = rows[:, 0] == rows[:, 1]
    is_new = np.ones(len(fingerprints.ids), bool)
    is_new[rows[compared, 0]] = False
    known = Pairs(rows[~compared], similarity[~compared])
    return NO_PAIRS + known, is_new


def _write(path: Path, digests: np.ndarray, pairs: Pairs, least: float) -> None:
    """Keep the pairs, and that all clips have been compared."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, second = np.concatenate([digests[pairs.rows], np.column_stack([digests, digests])]).T
    similarity = np.concatenate([pairs.similarity, np.ones(len(digests))])
    table = pa.table([first, second, similarity], schema=tables.PAIRS.schema)
    tables.PAIRS.write_parts(path, [table], {"version": VERSION, "least": least})
