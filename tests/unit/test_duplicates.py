"""Duplicates: fingerprints of made films, the search for near ones, groups, quotas, and splits."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from films import decoded

from clipmill.base.clip_rows import packed
from clipmill.base.errors import SetupError
from clipmill.base.journal import Journal
from clipmill.base.opencv import cv2
from clipmill.dataset.formats.assign import split_of
from clipmill.demo import render
from clipmill.duplicates import cells, embedded, matching, pictures, search
from clipmill.duplicates import shard as shard_of_pictures
from clipmill.duplicates.dropped import split_keys, videos_together
from clipmill.duplicates.groups import Candidates, Likeness, Limits, decide
from clipmill.duplicates.pairs import Fingerprints, find_pairs
from clipmill.duplicates.shard import fingerprint_shard
from clipmill.duplicates.version import with_version
from clipmill.filters import reasons
from clipmill.filters.columns import FILTERS, SOURCES
from clipmill.report import judge
from clipmill.scores.consistency.embedding_store import write_embeddings
from clipmill.store import tables
from clipmill.store.layout import Paths
from default_config import CONFIG

SIZE, FPS = (160, 120), 12
PICTURES = {**CONFIG["duplicates"], "backend": "pictures"}


# --- fingerprints of films ------------------------------------------------------------------------------------------


def pan(picture: str, speed: float, direction: float = 0.5) -> list[np.ndarray]:
    return list(render.pan(render.photograph(picture), SIZE, 3, FPS, speed, direction))


def head(seed: int) -> list[np.ndarray]:
    """A still background, and a face that sways as `seed` says."""
    picture, chance = render.cover(render.photograph("astronaut.png"), SIZE), np.random.default_rng(seed)
    steps = np.cumsum(chance.normal(0, 1.2, (3 * FPS, 2)), 0)
    mask = np.zeros((SIZE[1], SIZE[0], 1))
    cv2.ellipse(mask, (80, 50), (35, 40), 0, 0, 360, 1.0, -1)
    return [
        (picture * (1 - mask) + np.roll(picture, np.rint(step).astype(int), (0, 1)) * mask).astype(np.uint8)
        for step in steps
    ]


def ball(start: int = 0) -> list[np.ndarray]:
    """A still background, and a ball that rolls slowly and steadily. `start`: frames of the same shot before it."""
    picture = render.cover(render.photograph("coffee.png"), SIZE)
    middles = ((70 + 0.6 * at, 62 + 0.15 * at) for at in range(start, start + 3 * FPS))
    return [
        cv2.circle(picture.copy(), (round(16 * across), round(16 * down)), 16 * 14, (235, 225, 90), -1, cv2.LINE_AA, 4)
        for across, down in middles
    ]


def resized(size: tuple[int, int]):
    return lambda frames: [cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames]


def barred(down: int, across: int, level: int = 0):
    """A change of frames: bars of these pixels above and below, and at the left and right."""
    bars = (down, down, across, across, cv2.BORDER_CONSTANT, None, (level,) * 3)
    return lambda frames: [cv2.copyMakeBorder(frame, *bars) for frame in frames]


def with_blurred_sides(frames: list[np.ndarray]) -> list[np.ndarray]:
    """As phone videos are shown in wide ones: the picture, before an enlarged and blurred one."""
    height, width = frames[0].shape[:2]
    wide = [cv2.GaussianBlur(cv2.resize(frame, (2 * width, height)), (0, 0), 9) for frame in frames]
    for picture, frame in zip(wide, frames, strict=True):
        picture[:, width // 2 : width // 2 + width] = frame
    return wide


def with_logo(frames: list[np.ndarray]) -> list[np.ndarray]:
    marked = [frame.copy() for frame in frames]
    for frame in marked:
        frame[8:24, 128:150] = (250, 250, 250)
    return marked


def brighter(frames: list[np.ndarray]) -> list[np.ndarray]:
    return [np.clip(frame * 1.15 + 20, 0, 255).astype(np.uint8) for frame in frames]


def on_a_stage(frames: list[np.ndarray]) -> list[np.ndarray]:
    """All is black around a part of the picture."""
    height, width = frames[0].shape[:2]
    light = cv2.GaussianBlur(np.pad(np.ones((height - 32, width - 48), np.float32), ((16, 16), (24, 24))), (0, 0), 2)
    return [(frame * (0.8 * light[..., None])).astype(np.uint8) for frame in frames]


COPIES = {
    "compressed": (lambda frames: frames, {"crf": "36"}),
    "smaller": (resized((96, 72)), {}),
    "letterboxed": (barred(20, 0), {}),
    "pillarboxed": (barred(0, 28), {}),
    "windowboxed": (barred(16, 22), {"crf": "26"}),
    "with white bars": (barred(22, 0, 255), {}),
    "in an upright video": (barred(90, 0), {}),
    "with blurred sides": (with_blurred_sides, {}),
    "brighter": (brighter, {}),
    "with a logo": (with_logo, {}),
    "trimmed": (lambda frames: frames[3:-2], {}),
}
ORIGINALS = {
    "cat": lambda: pan("chelsea.png", 30),
    "cup": lambda: pan("coffee.png", 12, 2),
    "head": lambda: head(1),
    "ball": ball,
    "stage": lambda: on_a_stage(pan("chelsea.png", 15, 1)),
}
OTHERS = {
    "cup, the other way, letterboxed": lambda: barred(20, 0)(pan("coffee.png", 12, 182)),
    "cup, faster, letterboxed": lambda: barred(20, 0)(pan("coffee.png", 20, 2)),
    "head, a third time, letterboxed": lambda: barred(20, 0)(head(3)),
    "head, a fourth time, letterboxed": lambda: barred(20, 0)(head(4)),
    "cup, mirrored, pillarboxed": lambda: barred(0, 28)([frame[:, ::-1].copy() for frame in pan("coffee.png", 12, 2)]),
    "grey, letterboxed": lambda: barred(20, 0)(list(render.still(render.flat(SIZE, (120, 120, 120)), SIZE, 3, FPS))),
    "cup, elsewhere": lambda: pan("coffee.png", 40, 4),
    "head, another time": lambda: head(2),
    "cat, mirrored": lambda: [frame[:, ::-1].copy() for frame in pan("chelsea.png", 30)],
    "ball, later": lambda: ball(3 * FPS),
    "ball, before, letterboxed": lambda: barred(20, 0)(ball(-3 * FPS)),
    "head, mirrored": lambda: [frame[:, ::-1].copy() for frame in head(1)],
    "black": lambda: list(render.still(render.flat(SIZE), SIZE, 3, FPS)),
    "nearly black": lambda: list(render.still(render.flat(SIZE, (4, 4, 4)), SIZE, 3, FPS)),
    "grey": lambda: list(render.still(render.flat(SIZE, (120, 120, 120)), SIZE, 3, FPS)),
}


class Made:
    """Films in one shard, each a video of one clip, and their fingerprints."""

    def __init__(self, outdir: Path):
        self.outdir, self.clips = outdir, []

    def add(self, name: str, frames: list[np.ndarray], options: dict[str, str] | None = None) -> None:
        path, paths = self.outdir / f"{name}.mp4", Paths(self.outdir)
        height, width = frames[0].shape[:2]
        render.encode(path, frames, (width, height), FPS, options=options or {})
        film = decoded(path, self.outdir / "decoded" / name, video_id=name)
        for source, target in (
            (film.paths.frames, paths.frames("000000", name)),
            (film.paths.signals, paths.signals("000000", name)),
        ):
            target.parent.mkdir(parents=True, exist_ok=True)
            source.rename(target)
        size = {"width": width, "height": height}
        self.clips.append({**film.clip(), **size, "clip_id": name, "unfit": None})

    def alike(self) -> set[frozenset[str]]:
        write(self.outdir, "000000", fingerprint_shard(self.clips, self.outdir, "000000", PICTURES, 0.0), "pictures")
        fingerprints = Fingerprints.read(self.outdir, ["000000"], "pictures")
        pairs = find_pairs(self.outdir, fingerprints, PICTURES)
        return {frozenset(fingerprints.ids[row] for row in pair) for pair in pairs.rows.tolist()}


def write(outdir: Path, shard: str, rows: list[dict], backend: str, **settings: int) -> None:
    path = tables.FINGERPRINTS.of(outdir, shard)
    path.parent.mkdir(parents=True, exist_ok=True)
    tables.FINGERPRINTS.write(path, rows, {"settings": with_version({"backend": backend}) | settings})


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> set[frozenset[str]]:
    """The pairs that are found among the originals, their copies, and other films."""
    made = Made(tmp_path_factory.mktemp("made"))
    for name, frames in ORIGINALS.items():
        made.add(name, frames())
        for kind, (change, options) in COPIES.items():
            made.add(f"{name}, {kind}", change(frames()), options)
    for name, frames in OTHERS.items():
        made.add(name, frames())
    return made.alike()


# What is added lies in the black around the stage: what is lit is no longer all that is seen.
NOT_FOUND = {("stage", "with a logo"), ("stage", "with white bars"), ("stage", "with blurred sides")}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), sorted({(name, kind) for name in ORIGINALS for kind in COPIES} - NOT_FOUND))
def test_a_copy_is_found(alike, name, kind):
    assert frozenset({name, f"{name}, {kind}"}) in alike


@pytest.mark.slow
def test_nothing_else_is_taken_for_a_copy(alike):
    copies = {name: {name, *(f"{name}, {kind}" for kind in COPIES)} for name in ORIGINALS}
    assert [pair for pair in alike if not any(pair <= names for names in copies.values())] == []


@pytest.mark.slow
def test_lost_frames_are_an_error_of_the_clip(tmp_path):
    made = Made(tmp_path)
    made.add("cat", pan("chelsea.png", 30))
    Paths(tmp_path).frames("000000", "cat").unlink()
    (row,) = fingerprint_shard(made.clips, tmp_path, "000000", PICTURES, 1.0)
    assert row["error_kind"] == "bad_frames" and "sketch" not in row


@pytest.mark.slow
def test_what_an_older_version_has_finished_is_taken_over_where_it_holds(tmp_path, monkeypatch):
    """Without bars fingerprints are the same as before, and their kept frames are not read again."""
    made = Made(tmp_path)
    made.add("cat", pan("chelsea.png", 30))
    made.add("cat, letterboxed", barred(20, 0)(pan("chelsea.png", 30)))
    path = Paths(tmp_path).journal("fingerprints", "000000")
    new = fingerprint_shard(made.clips, tmp_path, "000000", PICTURES, 0.0)
    path.unlink()
    with Journal(path) as journal:
        for clip, row in zip(made.clips, new, strict=True):
            older = {
                "sketch": packed(np.frombuffer(row["sketch"], np.int16).reshape(2, -1)),
                "moves": packed(np.frombuffer(row["moves"], np.uint8).reshape(-1, 48 if row.get("edges_down") else 64)),
                "barred": "edges_down" in row,
            }
            journal.add([(clip["clip_id"], shard_of_pictures._key(clip, shard_of_pictures.WITHOUT_BARS), older)])
    looked = []
    monkeypatch.setattr(pictures, "sketches", lambda frames, box: looked.append(box))
    again = fingerprint_shard(made.clips, tmp_path, "000000", PICTURES, 0.0)
    assert again[0] == new[0] and len(looked) == 1 and looked[0] != pictures.WHOLE


def test_fingerprints_of_another_version_are_refused(tmp_path):
    shards = of_six_films(tmp_path)
    rows = tables.FINGERPRINTS.rows(tables.FINGERPRINTS.of(tmp_path, shards[1]))
    write(tmp_path, shards[1], rows, "pictures", version=2)
    with pytest.raises(SetupError, match=r"000001.parquet: .*another version .*--forcerun fingerprint_clips"):
        Fingerprints.read(tmp_path, shards, "pictures")
    tables.FINGERPRINTS.write(tables.FINGERPRINTS.of(tmp_path, shards[0]), rows, {"settings": {"backend": "pictures"}})
    with pytest.raises(SetupError, match="000000.parquet and 1 more table"):
        Fingerprints.read(tmp_path, shards, "pictures")
    write(tmp_path, shards[0], rows, "embeddings")
    with pytest.raises(SetupError, match="000000.parquet"):
        Fingerprints.read(tmp_path, shards, "pictures")


# --- the search -----------------------------------------------------------------------------------------------------


def planted(count: int, length: int, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random vectors of length 1, and as many at an angle whose cosine is 1 - `apart`."""
    chance = np.random.default_rng(seed)
    one, other = chance.normal(size=(2, count, length))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other -= np.einsum("ij,ij->i", one, other)[:, None] * one
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    cosine = 1 - apart
    return one, cosine * one + np.sqrt(1 - cosine**2) * other


def fingerprints_of(vectors: dict[str, np.ndarray]) -> list[dict]:
    """FINGERPRINTS rows of the mean embeddings of clips."""
    rows = []
    for clip_id, vector in vectors.items():
        embedding = np.rint(vector * embedded.ONE).astype(np.int16)
        sketch = embedded.sketch(embedding)
        digest = int.from_bytes(clip_id.encode()[-7:], "big")
        rows.append(
            {"clip_id": clip_id, "digest": digest, "sketch": sketch.tobytes(), "mean_embedding": embedding.tobytes()}
        )
    return rows


@pytest.mark.parametrize("apart", [0.01, 0.03, 0.048])
def test_near_embeddings_are_found_and_no_others(tmp_path, apart):
    one, other = planted(500, 96, apart, 1)
    vectors = {f"a{row:04d}": vector for row, vector in enumerate(one)}
    vectors |= {f"b{row:04d}": vector for row, vector in enumerate(other)}
    write(tmp_path, "000000", fingerprints_of(vectors), "embeddings")
    fingerprints = Fingerprints.read(tmp_path, ["000000"], "embeddings")
    settings = {**CONFIG["duplicates"], "backend": "embeddings"}
    pairs = find_pairs(tmp_path, fingerprints, settings)
    found = {(fingerprints.ids[first], fingerprints.ids[second]) for first, second in pairs.rows.tolist()}
    right = {(f"a{row:04d}", f"b{row:04d}") for row in range(500)}
    assert found <= right and len(found) >= 0.98 * len(right)
    assert np.allclose(pairs.similarity, 1 - apart, atol=0.002)
    stricter = find_pairs(tmp_path, fingerprints, {**settings, "eps": 0.02})
    assert len(stricter.rows) == (len(found) if apart < 0.02 else 0)


def test_which_pairs_are_found_depends_on_nothing_else(tmp_path):
    """In any order, in any shards, and one shard after the other."""
    one, other = planted(300, 96, 0.045, 2)
    vectors = {f"clip{row:04d}": vector for row, vector in enumerate([*one, *other])}
    rows = fingerprints_of(vectors)
    settings = {**CONFIG["duplicates"], "backend": "embeddings"}

    def results(outdir: Path, parts: list[list[dict]], at_once: bool) -> Iterator[object]:
        shards = [f"{number:06d}" for number in range(len(parts))]
        for shard, part in zip(shards, parts, strict=True):
            write(outdir, shard, part, "embeddings")
        for known in [len(shards)] if at_once else range(1, len(shards) + 1):
            fingerprints = Fingerprints.read(outdir, shards[:known], "embeddings")
            pairs = find_pairs(outdir, fingerprints, settings)
        yield fingerprints.ids
        yield pairs.rows.tolist()
        yield pairs.similarity.tolist()
        yield Paths(outdir).pairs("embeddings").read_bytes()

    shuffled = random.Random(3).sample(rows, len(rows))
    whole = list(results(tmp_path / "1", [rows], True))
    assert len(whole[1]) > 250
    assert list(results(tmp_path / "2", [shuffled[:100], shuffled[100:350], shuffled[350:]], True)) == whole
    assert list(results(tmp_path / "3", [shuffled[350:], shuffled[:100], shuffled[100:350]], False)) == whole


def test_a_pair_is_found_once_however_many_buckets_it_shares():
    """Sets of vectors that are nearly the same share most buckets; each pair of them is there, and no other."""
    chance = np.random.default_rng(9)
    centres = chance.normal(size=(30, search.LENGTH))
    vectors = np.repeat(centres / np.linalg.norm(centres, axis=1, keepdims=True), 20, 0)
    sketches = np.rint((vectors + chance.normal(0, 0.004, vectors.shape)) * search.UNIT).astype(np.int16)
    apart = (np.arange(600)[:, None] // 20 == np.arange(600) // 20) & (np.arange(600)[:, None] < np.arange(600))
    assert search.near_pairs(sketches, np.ones(600, bool), 0.3, 0.3).tolist() == np.argwhere(apart).tolist()
    new = chance.random(600) < 0.1
    wanted = apart & (new[:, None] | new)
    assert search.near_pairs(sketches, new, 0.3, 0.3).tolist() == np.argwhere(wanted).tolist()


def of_six_films(outdir: Path) -> list[str]:
    """Fingerprints of 24 clips in three shards that look the same and move as one of six films. Returns the shards."""
    chance = np.random.default_rng(10)
    shown = chance.normal(size=(2, search.LENGTH))
    shown = np.rint(shown / np.linalg.norm(shown, axis=1, keepdims=True) * search.UNIT).astype(np.int16)
    levels = np.clip(128 + chance.normal(0, 6, (6, 40, 64)).cumsum(1), 0, 255).astype(np.uint8)
    clips = [{"clip_id": f"clip{n:02d}", "digest": n, "moves": levels[n % 6].tobytes()} for n in range(24)]
    rows = [{**clip, "sketch": shown.tobytes()} for clip in clips]
    shards = [f"{number:06d}" for number in range(3)]
    for number, shard in enumerate(shards):
        write(outdir, shard, rows[number::3], "pictures")
    return shards


OF_SIX_FILMS = [[one, other] for one in range(24) for other in range(one + 1, 24) if one % 6 == other % 6]


def test_few_clips_at_a_time_find_the_same_pairs(tmp_path, monkeypatch):
    fingerprints = Fingerprints.read(tmp_path, of_six_films(tmp_path), "pictures")
    assert find_pairs(tmp_path, fingerprints, PICTURES).rows.tolist() == OF_SIX_FILMS
    monkeypatch.setattr("clipmill.duplicates.pairs.CLIPS", 5)
    Paths(tmp_path).pairs("pictures").unlink()
    assert find_pairs(tmp_path, fingerprints, PICTURES).rows.tolist() == OF_SIX_FILMS


def test_the_moves_of_new_clips_alone_are_compared_with_all(tmp_path, monkeypatch):
    compared = []
    compare = matching.moved_alike
    monkeypatch.setattr(matching, "moved_alike", lambda *pairs: compared.append(len(pairs[0])) or compare(*pairs))
    shards = of_six_films(tmp_path)
    find_pairs(tmp_path, Fingerprints.read(tmp_path, shards[:2], "pictures"), PICTURES)
    assert sum(compared) == 16 * 15 // 2
    compared.clear()
    fingerprints = Fingerprints.read(tmp_path, shards, "pictures")
    assert find_pairs(tmp_path, fingerprints, PICTURES).rows.tolist() == OF_SIX_FILMS
    assert sum(compared) == 8 * 16 + 8 * 7 // 2
    compared.clear()
    assert find_pairs(tmp_path, fingerprints, PICTURES).rows.tolist() == OF_SIX_FILMS and not compared


def test_only_new_vectors_are_compared():
    sketches = np.zeros((4, search.LENGTH), np.int16)
    sketches[:, 0] = search.UNIT
    new = np.array([False, False, True, False])
    assert search.near_pairs(sketches, new, 0.3, 0.3).tolist() == [[0, 2], [1, 2], [2, 3]]
    assert search.near_pairs(sketches, ~np.ones(4, bool), 0.3, 0.3).tolist() == []
    assert len(search.near_pairs(sketches, np.ones(4, bool), 0.3, 0.3, threads=2)) == 6


def test_a_damaged_file_of_pairs_costs_only_time(tmp_path):
    one, other = planted(20, 96, 0.02, 4)
    made = fingerprints_of({f"clip{n:04d}": vector for n, vector in enumerate([*one, *other])})
    write(tmp_path, "000000", made, "embeddings")
    fingerprints = Fingerprints.read(tmp_path, ["000000"], "embeddings")
    settings = {**CONFIG["duplicates"], "backend": "embeddings"}
    right = find_pairs(tmp_path, fingerprints, settings).rows.tolist()
    Paths(tmp_path).pairs("embeddings").write_bytes(b"nothing")
    assert find_pairs(tmp_path, fingerprints, settings).rows.tolist() == right and len(right) == 20


# --- moves ----------------------------------------------------------------------------------------------------------


def as_moves(levels: np.ndarray, down: cells.Edges = cells.WHOLE_EDGES) -> cells.Moves:
    """`levels`: times × cells."""
    return cells.Moves(levels.reshape(len(levels), len(down) - 1, -1), down)


def test_moves_are_compared_at_the_best_shift():
    chance = np.random.default_rng(5)
    levels = np.repeat(chance.normal(128, 30, (1, 64)), 40, 0) + 12 * np.cumsum(chance.normal(size=(40, 64)), 0)
    levels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    other = np.clip(np.rint(128 + 12 * np.cumsum(chance.normal(size=(40, 64)), 0)), 0, 255).astype(np.uint8)
    still = np.repeat(levels[:1], 40, 0)
    same, shifted, apart, nothing = matching.moved_alike(
        list(map(as_moves, (levels, levels[4:], levels, still))),
        list(map(as_moves, (levels, levels[:36], other, still))),
    )
    assert same == pytest.approx(1) and shifted == pytest.approx(1, abs=0.01) and apart < 0.5 and np.isnan(nothing)
    halves = np.array([[0.99, 0.97]] * 4)
    moved = np.array([0.95, 0.3, np.nan, np.nan])
    assert matching.copy_similarity(halves, moved, 64).tolist() == [0.95, 0, 0.99, 0.99]
    halves = np.array([[0.99, 0.9], [0.85, 0.6], [0.85, 0.6], [0.85, 0.4], [0.75, 0.7]])
    moved = np.array([0.75, 0.75, 0.95, 0.95, 0.99])
    alike = matching.copy_similarity(halves, moved, 64) > 0
    assert alike.tolist() == [True, False, True, False, False], "the less is shown alike, the more it must move alike"


def test_what_moves_steadily_is_elsewhere_later():
    """The levels of its cells change alike all the time: only where they are says that it is another part of it."""
    still = np.random.default_rng(8).integers(40, 200, 64)

    def part(start: float, gain: float = 1, logo: int | None = None) -> cells.Moves:
        """3 s of a blurred edge that moves along a row of cells."""
        levels, times = np.repeat(still[None].astype(float), 24, 0), start + np.arange(24)[:, None] / 8
        levels[:, 24:32] += 60 / (1 + np.exp(3 - times + np.arange(8)))
        if logo is not None:
            levels[:, logo] = levels[:, logo] * 0.5 + 125
        return as_moves(np.clip(np.rint(levels * gain), 0, 255).astype(np.uint8))

    copies, others = [part(1), part(1.3), part(1, 0.7), part(1, logo=26)], [part(4), part(3.5, 0.7), part(-2)]
    alike = matching.moved_alike([part(1)] * 7, copies + others)
    assert alike[:4].min() > 0.9 and alike[4:].max() < 0.65
    assert alike.tolist() == [matching.moved_alike([part(1)], [other])[0] for other in copies + others]


def test_how_alike_moves_are_depends_on_no_other_pair():
    chance = np.random.default_rng(6)
    films = [np.clip(chance.normal(128, 9, (n, 64)).cumsum(0) / n, 0, 255).astype(np.uint8) for n in (30, 37, 52, 160)]
    films += [np.repeat(films[0][:1], 25, 0)]
    for start, end in ((0, 1), (0.125, 0.875), (0.2, 0.83)):
        rows, down = cells.between_bars(start, end)
        whole = list(map(as_moves, films))
        between = [as_moves(np.rint(rows @ one.levels).astype(np.uint8), down) for one in whole]
        first, second = zip(*[(one, other) for one in whole for other in between], strict=True)
        at_once = matching.moved_alike(first, second)
        alone = [matching.moved_alike([one], [other])[0] for one, other in zip(first, second, strict=True)]
        assert np.array_equal(at_once, alone, equal_nan=True) and np.isnan(at_once).sum() == 1


def test_cells_between_bars_show_what_is_between_them():
    column = np.cumsum(np.random.default_rng(7).normal(size=600)) + 100  # a line of a picture, of 600 pixels

    def thumbnail(of_line: np.ndarray) -> np.ndarray:
        return of_line.reshape(8, -1).mean(1)

    for bar, count in ((40, 8), (52, 6), (168, 6), (100, 6), (520, 2)):
        barred_line = np.concatenate([np.full(bar, 16.0), column, np.full(bar, 16.0)])
        share = bar / len(barred_line)
        matrix, edges = cells.between_bars(share, 1 - share)
        shown = matrix @ (thumbnail(np.repeat(barred_line, 8)) - 16) + 16
        fine = np.repeat(column, 1000)
        wanted = [
            fine[round(start * len(fine)) : round(end * len(fine))].mean() for start, end in itertools.pairwise(edges)
        ]
        assert len(shown) == count and np.allclose(shown, wanted, atol=0.01)
        large = cells.in_cells(cells.Moves(thumbnail(column)[None, :, None], across=(0, 1)), edges, (0, 1))
        same = cells.in_cells(cells.Moves(shown[None, :, None], edges, (0, 1)), edges, (0, 1))
        assert np.abs(large - same).max() < 0.5 * np.abs(np.diff(shown)).max()
    assert cells.common_edges(cells.WHOLE_EDGES, edges) == cells.common_edges(edges, cells.WHOLE_EDGES) == edges


# --- groups ---------------------------------------------------------------------------------------------------------


def candidates(scores: list[float | None], videos: str = "") -> Candidates:
    ids = [f"c{number}" for number in range(len(scores))]
    return Candidates(ids, list(videos) or ids, np.array([np.nan if one is None else one for one in scores], float))


def outcome(clips: Candidates, pairs: list[tuple[int, int]], **limits: int | None) -> dict[str, tuple]:
    likeness = Likeness(len(clips.ids), np.array(pairs, np.int64).reshape(-1, 2), np.full(len(pairs), 0.97))
    rows = decide(clips, likeness, Limits(**{**CONFIG["limits"], **limits}))
    return {row["clip_id"]: (row["reason"], row.get("duplicate_of")) for row in rows}


def test_the_best_stays_and_ties_go_by_id():
    assert outcome(candidates([1, 3, 2]), [(0, 1), (1, 2), (0, 2)]) == {
        "c0": ("duplicate", "c1"),
        "c1": (None, None),
        "c2": ("duplicate", "c1"),
    }
    assert outcome(candidates([2, 2]), [(0, 1)])["c1"] == ("duplicate", "c0")
    assert outcome(candidates([None, 1]), [(0, 1)])["c0"] == ("duplicate", "c1")


def test_each_dropped_clip_is_like_the_one_that_stays():
    """A chain of clips, each like the next: its middle would stay for all if chains were groups."""
    chain = outcome(candidates([5, 4, 3, 2, 1]), [(0, 1), (1, 2), (2, 3), (3, 4)])
    assert chain == {
        "c0": (None, None),
        "c1": ("duplicate", "c0"),
        "c2": (None, None),
        "c3": ("duplicate", "c2"),
    }


def test_quotas_are_drawn_and_a_larger_one_only_adds():
    clips = candidates([1.0] * 12, "a" * 8 + "b" * 4)
    stay = {
        (limit, seed): set(clips.ids) - set(outcome(clips, [], per_video=limit, seed=seed))
        for limit in (2, 3)
        for seed in (0, 1)
    }
    assert all(len(ids) == 2 * limit for (limit, _), ids in stay.items())
    assert stay[2, 0] < stay[3, 0] and stay[2, 0] != stay[2, 1]
    assert set(outcome(clips, [], per_video=2).values()) == {("limit per video", None)}


def test_a_group_keeps_as_many_as_its_limit_the_best_among_them():
    found = outcome(candidates([1, 2, 9, 3]), [(0, 2), (1, 2), (2, 3)], per_group=2)
    assert found["c2"] == (None, None)
    assert sorted(map(str, (reason for reason, _ in found.values()))) == ["None", "None"] + ["limit per group"] * 2
    assert {stays for reason, stays in found.values() if reason} == {"c2"}


def test_a_clip_beyond_a_limit_never_stands_for_others():
    """Whatever is drawn: a duplicate is only dropped for a clip that stays, and no video has more than its limit."""
    chance = random.Random(6)
    for _ in range(60):
        count = 14
        clips = candidates([chance.randrange(4) for _ in range(count)], "".join(chance.choices("abc", k=count)))
        pairs = [(i, j) for j in range(count) for i in range(j) if chance.random() < 0.15]
        found = outcome(clips, pairs, per_video=2, seed=chance.randrange(9))
        dropped = {clip for clip, (reason, _) in found.items() if reason}
        for reason, stays in found.values():
            assert reason != "duplicate" or stays not in dropped
        kept = [video for clip, video in zip(clips.ids, clips.videos, strict=True) if clip not in dropped]
        assert all(kept.count(video) <= 2 for video in "abc")
        is_kept = [clip not in dropped for clip in clips.ids]
        assert not any(is_kept[i] and is_kept[j] for i, j in pairs)


# --- splits ---------------------------------------------------------------------------------------------------------


def test_videos_with_clips_that_are_alike_are_in_one_split():
    def row(clip: str, group: str | None, reason: str | None = None) -> dict:
        return {"clip_id": clip, "video_id": clip[0], "duplicate_group": group, "reason": reason}

    rows = [row("a1", "a1"), row("b1", "a1"), row("b2", "b2"), row("c1", "b2"), row("d1", "b2", "duplicate")]
    together = split_keys([*rows, row("e1", None, "limit per video")])
    assert together == {"a": "a", "b": "a", "c": "a"}
    splits = {video: split_of(together.get(video, video), 0.5, 3) for video in "abcde"}
    assert splits["a"] == splits["b"] == splits["c"]
    assert videos_together([["x", "y"], ["z"], ["y", "w"]]) == {"w": "w", "x": "w", "y": "w", "z": "z"}


# --- the rest of the workflow ---------------------------------------------------------------------------------------


def test_embeddings_are_the_mean_of_those_that_scoring_kept(tmp_path):
    chance = np.random.default_rng(8)
    vectors = chance.normal(size=(2, 3, 768)).astype(np.float16)
    clips = [{"clip_id": name, "unfit": None} for name in ("a", "b", "c")]
    clips.append({"clip_id": "short", "unfit": "too_short"})
    rows = [{"clip_id": name, "embeddings": list(found)} for name, found in zip("ab", vectors, strict=True)]
    write_embeddings(tmp_path, "000000", "clip", rows, {})
    settings = {"backend": "embeddings", "model": {"backend": "clip"}}
    one, other, none = fingerprint_shard(clips, tmp_path, "000000", settings, 0.0)
    mean = vectors[0].astype(float).mean(0)
    found = np.frombuffer(one["mean_embedding"], np.int16) / embedded.ONE
    assert np.allclose(found, mean / np.linalg.norm(mean), atol=1e-4)
    assert len({row["digest"] for row in (one, other, none)}) == 3
    assert "sketch" not in none, "scoring has skipped it"


def test_the_report_knows_what_was_dropped_here():
    words = [str(reason) for reason in (reasons.DUPLICATE, reasons.PER_GROUP, reasons.PER_VIDEO)]
    assert words == ["duplicate", "limit per group", "limit per video"]
    assert judge.fates(pa.array([*words, None])).tolist() == [judge.DUPLICATE] * 3 + [judge.GONE_ON]
    assert judge.fates(pa.array(["judge_logo yes", "judge failed"])).tolist() == [judge.BAD_ANSWER] * 2
    bounds = {name: {"min": None, "max": None} for name in SOURCES}
    stages = judge.Judge(bounds, list(FILTERS), True, [judge.ANSWERS, judge.DUPLICATES]).stages
    assert stages[len(FILTERS) :][:3] == [judge.DUPLICATES, judge.ANSWERS, judge.TEXTS]
    assert judge.DUPLICATES not in judge.Judge(bounds, list(FILTERS), True).stages
