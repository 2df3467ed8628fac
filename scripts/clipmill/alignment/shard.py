"""Alignment of the texts of a shard with their clips. Each feature is computed only once."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from clipmill.alignment import FEATURE, AlignmentBackend, mean_direction
from clipmill.base.errors import SetupError
from clipmill.base.journal import Journal, fingerprint
from clipmill.base.progress import Progress
from clipmill.models.batches import in_batches
from clipmill.models.clip_texts import cleaned
from clipmill.scores.shard import score_shard
from clipmill.store.layout import Paths
from clipmill.store.table import Row
from clipmill.store.tables import Clip, ClipWithText

OTHERS = 16  # texts of other clips that a clip is compared with, for the margin
TEXT_BATCH = 32


def with_text(clips: Iterable[Clip], rewrites: Iterable[Row], shard: str) -> list[ClipWithText]:
    """The clips of a shard that have a text, with it. `rewrites` may hold rows of other shards too."""
    texts = {row["clip_id"]: row["text"] for row in rewrites if row["shard"] == shard and row["text"] is not None}
    return [{**clip, "text": texts[clip["clip_id"]]} for clip in clips if clip["clip_id"] in texts]


def align_shard(
    backend: AlignmentBackend,
    clips: Sequence[ClipWithText],
    outdir: Path,
    shard: str,
    max_error_rate: float,
    threads: int = 1,
) -> list[Row]:
    """ALIGNMENT rows, one per clip. `clips`: CLIPS rows with a `text`.

    `alignment` is the cosine of the clip's feature and its text's, -1 to 1. `alignment_margin` is that minus the mean
    cosine of the clip with up to OTHERS of the shard's other texts, drawn by the clip's identity; it is missing if
    there is no other text. The same text in other clips does not count as another text.
    """
    clean = {text: cleaned(text) for text in {clip["text"] for clip in clips}}
    texts = text_features(backend, {*clean.values()}, outdir, shard)
    wanted = {clip["clip_id"] for clip in clips}
    scored = score_shard("alignment", backend, clips, wanted, outdir, shard, max_error_rate, threads)
    positions = {text: number for number, text in enumerate(texts)}
    features = np.array(list(texts.values()), np.float64)
    return [_row(row, positions[clean[clip["text"]]], features) for clip, row in zip(clips, scored, strict=True)]


def text_features(backend: AlignmentBackend, texts: set[str], outdir: Path, shard: str) -> dict[str, np.ndarray]:
    """One unit feature per text, in alphabetical order: the mean direction of the features of its pieces.

    `texts`: cleaned by `models.clip_texts`. The journal has them as they are here. Older versions cleaned no text, so
    their features hold for texts that need no cleaning.
    """
    packed: dict[str, str] = {}
    with Journal(Paths(outdir).journal("alignment_texts", shard)) as journal:
        key = fingerprint(backend.about)
        for text in texts:
            if (known := journal.get(fingerprint(text), key)) is not None:
                packed[text] = known
        progress = Progress("texts", len(texts), len(packed))
        todo = {text: backend.pieces(text) for text in sorted(texts - packed.keys())}
        in_order = sorted(todo, key=lambda text: max(map(len, todo[text])))  # texts of similar length share a batch
        for first in range(0, len(in_order), TEXT_BATCH):
            group = in_order[first : first + TEXT_BATCH]
            pieces = [piece for text in group for piece in todo[text]]
            measured = iter(in_batches(backend.measure_texts, pieces, TEXT_BATCH))
            made = {text: _packed(mean_direction([next(measured) for _ in todo[text]]), text) for text in group}
            journal.add((fingerprint(text), key, feature) for text, feature in made.items())
            packed |= made
            progress.step(len(group))
    return {text: _unpacked(packed[text]) for text in sorted(texts)}


def _packed(feature: np.ndarray, text: str) -> str:
    """A feature as a string for the journal, without loss."""
    if not np.isfinite(feature).all():
        raise SetupError(f"the feature of the text `{text[:60]}` is not finite; set the model's dtype to fp32")
    return base64.b64encode(feature.astype("<f4").tobytes()).decode()


def _unpacked(feature: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(feature), "<f4")


def _row(scored: Row, own: int, texts: np.ndarray) -> Row:
    """The ALIGNMENT row of a clip whose text is number `own` of `texts`; a clip without a feature keeps its error."""
    row = dict(scored)
    if (feature := row.pop(FEATURE, None)) is None:
        return row
    cosines = texts[[own, *_others(row["clip_id"], own, len(texts))]] @ feature.astype(np.float64)
    row["alignment"] = float(cosines[0])
    if len(cosines) > 1:
        row["alignment_margin"] = float(cosines[0] - cosines[1:].mean())
    return row


def _others(clip_id: str, own: int, count: int) -> list[int]:
    """Up to OTHERS of the numbers below `count`, `own` left out, drawn by the clip's identity."""
    drawn = random.Random(clip_id).sample(range(count - 1), min(OTHERS, count - 1))
    return [number + (number >= own) for number in drawn]
