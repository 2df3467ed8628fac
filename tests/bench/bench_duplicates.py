"""How long a million clips take to be compared, and how much memory: on made fingerprints with planted copies.

    python tests/bench/bench_duplicates.py pictures
    python tests/bench/bench_duplicates.py embeddings --clips 200000

Clips are ten to a video; one in twenty is planted as a copy of a clip of another video. `pictures` have the spread that
the sketches of real films have, and moves of five seconds. A third of the videos are of two fixed cameras each: their
clips look the same and move differently. So do one in a hundred clips, which come from forty fixed cameras. One more in
a hundred is one of forty still pictures: all clips of the same picture are copies. `embeddings` have 768 numbers, a
cosine of 0.75 within a video and of 0.4 to all others; the cosine of copies lies between 1 - eps and 1. Then a
hundredth more clips come, and are compared with all.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "scripts"), str(REPOSITORY / "tests")]

from clipmill.duplicates import embedded, search
from clipmill.duplicates.groups import Candidates, Likeness, Limits, decide
from clipmill.duplicates.pairs import Fingerprints, find_pairs
from clipmill.duplicates.version import with_version
from clipmill.store import tables
from default_config import CONFIG

A_SHARD, A_VIDEO, PLANTED = 10_000, 10, 20
WIDTH, EPS = 768, CONFIG["duplicates"]["eps"]
TIMES, CELLS = 40, 64
SERIES, A_SERIES = 40, 100  # fixed cameras that many videos have, and still pictures; the share of such clips


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def as_column(values: np.ndarray) -> pa.Array:
    """Rows of an array as the bytes of a column."""
    size = values[0].nbytes
    offsets = pa.py_buffer(np.arange(0, (len(values) + 1) * size, size, dtype=np.int32).tobytes())
    return pa.Array.from_buffers(pa.binary(), len(values), [None, offsets, pa.py_buffer(values.tobytes())])


def planted(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a shard that are copies, and rows of their originals."""
    return np.arange(count // 2, count, PLANTED // 2), np.arange(0, count // 2, PLANTED // 2)


def pictures(chance: np.random.Generator, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sketches and moves of clips, and the still picture that each shows, or -1."""
    spread = np.linspace(1.6, 0.4, search.LENGTH)
    video, place = np.divmod(np.arange(count), A_VIDEO)
    is_fixed = video % 3 == 0
    own = unit(chance.normal(size=(count, 2, search.LENGTH)) * spread)
    places = unit(chance.normal(size=(count // A_VIDEO, 2, 2, search.LENGTH)) * spread)[video, place % 2 * is_fixed]
    halves = places + np.where(is_fixed, 0.25, 1.4)[:, None, None] * own
    moves = chance.integers(-5, 6, (count, TIMES, CELLS), np.int16).cumsum(1, dtype=np.int16)
    moves += chance.integers(60, 196, (count, 1, CELLS), np.int16)
    series = np.random.default_rng(11)
    views, stills = unit(series.normal(size=(2, SERIES, 2, search.LENGTH)) * spread)
    levels = series.normal(128, 30, (SERIES, 1, CELLS))
    of_series, still = chance.integers(SERIES, size=count), np.full(count, -1)
    rows = np.arange(1, count, A_SERIES)
    halves[rows] = views[of_series[rows]] + 0.2 * own[rows]
    rows = np.arange(2, count, A_SERIES)
    still[rows] = of_series[rows]
    halves[rows] = stills[still[rows]] + 0.05 * own[rows]
    moves[rows] = np.rint(levels[still[rows]] + chance.normal(0, 0.3, (len(rows), TIMES, CELLS)))
    copies, originals = planted(count)
    halves[copies] = unit(halves[originals]) + 0.2 * own[copies]
    moves[copies] = np.rint(moves[originals] * 1.1 + chance.normal(0, 1.5, moves[copies].shape))
    made = {"sketch": np.rint(unit(halves) * search.UNIT).astype(np.int16)}
    return made | {"moves": np.clip(moves, 0, 255).astype(np.uint8)}, still


def embeddings(chance: np.random.Generator, count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Embeddings of clips and their sketches; none shows a still picture."""
    common = unit(np.random.default_rng(0).normal(size=WIDTH))
    scenes = np.repeat(unit(chance.normal(size=(count // A_VIDEO, WIDTH))), A_VIDEO, 0)
    vectors = np.sqrt(0.4) * common + np.sqrt(0.35) * scenes + np.sqrt(0.25) * unit(chance.normal(size=(count, WIDTH)))
    vectors = unit(vectors)
    copies, originals = planted(count)
    apart = chance.uniform(0, EPS, (len(copies), 1))
    other = chance.normal(size=(len(copies), WIDTH))
    other = unit(other - np.einsum("ij,ij->i", other, vectors[originals])[:, None] * vectors[originals])
    vectors[copies] = (1 - apart) * vectors[originals] + np.sqrt(1 - (1 - apart) ** 2) * other
    whole = np.rint(vectors * embedded.ONE).astype(np.int16)
    return {"sketch": embedded.sketch(whole), "mean_embedding": whole}, np.full(count, -1)


def write(outdir: Path, shard: int, backend: str, count: int) -> np.ndarray:
    """Make the fingerprints of a shard. Returns the scene of each clip: copies have the same."""
    made, still = {"pictures": pictures, "embeddings": embeddings}[backend](np.random.default_rng([7, shard]), count)
    names = {"clip_id": pa.array([f"v{shard:04d}-{row // A_VIDEO:05d}_{row:08d}" for row in range(count)])}
    names["digest"] = pa.array(np.arange(count) + shard * A_SHARD)
    known = names | {name: as_column(values) for name, values in made.items()}
    known |= {name: pa.array(np.ones(count)) for name in ("shown_width", "shown_height")}
    schema = tables.FINGERPRINTS.schema
    columns = [known.get(field.name, pa.nulls(count, field.type)) for field in schema]
    path = tables.FINGERPRINTS.of(outdir, f"{shard:06d}")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"settings": with_version({"backend": backend})}
    tables.FINGERPRINTS.write_parts(path, [pa.table(columns, schema=schema)], about)
    scenes = np.arange(count) + shard * A_SHARD
    copies, originals = planted(count)
    scenes[copies] = scenes[originals]
    return np.where(still < 0, scenes, -1 - still)


def compare(outdir: Path, backend: str, scenes: list[np.ndarray], threads: int) -> None:
    """`scenes`: of the clips of each shard."""
    begin, processor = time.perf_counter(), time.process_time()
    fingerprints = Fingerprints.read(outdir, [f"{shard:06d}" for shard in range(len(scenes))], backend)
    pairs = find_pairs(outdir, fingerprints, {**CONFIG["duplicates"], "backend": backend}, threads)
    found = time.perf_counter()
    scores = np.random.default_rng(1).normal(size=len(fingerprints.ids))
    clips = Candidates(fingerprints.ids, [name.rpartition("_")[0] for name in fingerprints.ids], scores)
    rows = decide(clips, Likeness(len(clips.ids), pairs.rows, pairs.similarity), Limits(**CONFIG["limits"]))
    end, used = time.perf_counter(), time.process_time() - processor
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    of_clip = np.concatenate(scenes)  # the ids of clips rise
    sizes = np.unique(of_clip, return_counts=True)[1]
    right = int((of_clip[pairs.rows[:, 0]] == of_clip[pairs.rows[:, 1]]).sum())
    print(
        f"{backend}: {len(fingerprints.ids):,} clips in {end - begin:.0f} s ({found - begin:.0f} s to find pairs, "
        f"{used:.0f} s of processor time), {memory:.1f} GiB; {right:,} of {int((sizes * (sizes - 1) // 2).sum()):,} "
        f"pairs found, {len(pairs.rows) - right:,} others; "
        f"{sum(row['reason'] is not None for row in rows):,} clips dropped",
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
        scenes = [write(outdir, shard, args.backend, A_SHARD) for shard in range(-(-args.clips // A_SHARD))]
        compare(outdir, args.backend, scenes, args.threads)
        scenes.append(write(outdir, len(scenes), args.backend, args.clips // 100 // A_VIDEO * A_VIDEO))
        compare(outdir, args.backend, scenes, args.threads)


if __name__ == "__main__":
    main()
