"""How long a million clips take to be compared, and how much memory: on made fingerprints with planted copies.

    python tests/bench/bench_duplicates.py pictures
    python tests/bench/bench_duplicates.py embeddings --clips 200000

Clips are ten to a video and look alike there; one in twenty is planted as a copy of a clip of another video. `pictures`
have the spread that the sketches of real films have, and moves of five seconds. `embeddings` have 768 numbers, a cosine
of 0.75 within a video and of 0.4 to all others; the cosine of copies lies between 1 - eps and 1. Then a hundredth more
clips come, and are compared with all.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from clipmill.duplicates import embedded, search
from clipmill.duplicates.groups import Candidates, Likeness, Limits, decide
from clipmill.duplicates.pairs import Fingerprints, find_pairs
from clipmill.store import tables
from default_config import CONFIG

A_SHARD, A_VIDEO, PLANTED = 10_000, 10, 20
WIDTH, EPS = 768, CONFIG["duplicates"]["eps"]
TIMES, CELLS = 40, 64


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def as_column(values: np.ndarray) -> pa.Array:
    """Rows of an array as the bytes of a column."""
    size = values[0].nbytes
    offsets = pa.py_buffer(np.arange(0, (len(values) + 1) * size, size, dtype=np.int32).tobytes())
    return pa.Array.from_buffers(pa.binary(), len(values), [None, offsets, pa.py_buffer(values.tobytes())])


def pictures(chance: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Sketches and moves of clips; each PLANTED-th of the second half is a copy of one in the first half."""
    spread = np.linspace(1.6, 0.4, search.LENGTH)
    scenes = np.repeat(chance.normal(size=(count // A_VIDEO, 2, search.LENGTH)), A_VIDEO, 0)
    halves = unit((scenes * 0.7 + chance.normal(size=(count, 2, search.LENGTH))) * spread)
    moves = chance.integers(0, 256, (count, TIMES, CELLS), np.uint8)
    copies, originals = np.arange(count // 2, count, PLANTED // 2), np.arange(0, count // 2, PLANTED // 2)
    halves[copies] = unit(halves[originals] + chance.normal(0, 0.02, (len(copies), 2, search.LENGTH)))
    moves[copies] = moves[originals] // 8 * 8
    return {"sketch": np.rint(halves * search.UNIT).astype(np.int16), "moves": moves}


def embeddings(chance: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Embeddings of clips and their sketches, with copies as in `pictures`."""
    common = unit(np.random.default_rng(0).normal(size=WIDTH))
    scenes = np.repeat(unit(chance.normal(size=(count // A_VIDEO, WIDTH))), A_VIDEO, 0)
    vectors = np.sqrt(0.4) * common + np.sqrt(0.35) * scenes + np.sqrt(0.25) * unit(chance.normal(size=(count, WIDTH)))
    vectors = unit(vectors)
    copies, originals = np.arange(count // 2, count, PLANTED // 2), np.arange(0, count // 2, PLANTED // 2)
    apart = chance.uniform(0, EPS, (len(copies), 1))
    other = chance.normal(size=(len(copies), WIDTH))
    other = unit(other - np.einsum("ij,ij->i", other, vectors[originals])[:, None] * vectors[originals])
    vectors[copies] = (1 - apart) * vectors[originals] + np.sqrt(1 - (1 - apart) ** 2) * other
    whole = np.rint(vectors * embedded.ONE).astype(np.int16)
    return {"sketch": embedded.sketch(whole), "mean_embedding": whole}


def write(outdir: Path, shard: int, backend: str, count: int) -> None:
    made = {"pictures": pictures, "embeddings": embeddings}[backend](np.random.default_rng([7, shard]), count)
    names = {"clip_id": pa.array([f"v{shard:04d}-{row // A_VIDEO:05d}_{row:08d}" for row in range(count)])}
    names["digest"] = pa.array(np.arange(count) + shard * A_SHARD)
    known = names | {name: as_column(values) for name, values in made.items()} | {"barred": pa.array([False] * count)}
    schema = tables.FINGERPRINTS.schema
    columns = [known.get(field.name, pa.nulls(count, field.type)) for field in schema]
    path = tables.FINGERPRINTS.of(outdir, f"{shard:06d}")
    path.parent.mkdir(parents=True, exist_ok=True)
    tables.FINGERPRINTS.write_parts(path, [pa.table(columns, schema=schema)])


def planted(shards: dict[int, int]) -> Iterator[tuple[str, str]]:
    for shard, count in shards.items():
        for original in range(0, count // 2, PLANTED // 2):
            one, other = (f"v{shard:04d}-{row // A_VIDEO:05d}_{row:08d}" for row in (original, original + count // 2))
            yield one, other


def compare(outdir: Path, backend: str, shards: dict[int, int], threads: int) -> None:
    begin, processor = time.perf_counter(), time.process_time()
    fingerprints = Fingerprints.read(outdir, [f"{shard:06d}" for shard in shards])
    pairs = find_pairs(outdir, fingerprints, {**CONFIG["duplicates"], "backend": backend}, threads)
    found = time.perf_counter()
    scores = np.random.default_rng(1).normal(size=len(fingerprints.ids))
    clips = Candidates(fingerprints.ids, [name.rpartition("_")[0] for name in fingerprints.ids], scores)
    rows = decide(clips, Likeness(len(clips.ids), pairs.rows, pairs.similarity), Limits(**CONFIG["limits"]))
    end, used = time.perf_counter(), time.process_time() - processor
    right = set(planted(shards))
    alike = {(fingerprints.ids[one], fingerprints.ids[other]) for one, other in pairs.rows.tolist()}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{backend}: {len(fingerprints.ids):,} clips in {end - begin:.0f} s ({found - begin:.0f} s to find pairs, "
        f"{used:.0f} s of processor time), {memory:.1f} GiB; {len(right & alike):,} of {len(right):,} planted pairs "
        f"found, {len(alike - right):,} others; {sum(row['reason'] is not None for row in rows):,} clips dropped",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", choices=["pictures", "embeddings"])
    parser.add_argument("--clips", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outdir = Path(folder)
        shards = dict.fromkeys(range(-(-args.clips // A_SHARD)), A_SHARD)
        for shard, count in shards.items():
            write(outdir, shard, args.backend, count)
        compare(outdir, args.backend, shards, args.threads)
        new = {len(shards): args.clips // 100 // A_VIDEO * A_VIDEO}
        write(outdir, len(shards), args.backend, new[len(shards)])
        compare(outdir, args.backend, shards | new, args.threads)


if __name__ == "__main__":
    main()
