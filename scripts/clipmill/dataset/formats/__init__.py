"""The formats in which the dataset is written, by their names in the config's `export.formats`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from clipmill.dataset.formats.assign import SPLITS
from clipmill.dataset.formats.folders import FastVideo, VideoFolder
from clipmill.dataset.formats.layout import CARD, METADATA, Format
from clipmill.dataset.formats.lists import (
    DataJuicer,
    DiffSynth,
    Diffusers,
    EasyAnimate,
    Finetrainers,
    JsonLines,
    LtxTrainer,
    VideoXFun,
)
from clipmill.dataset.formats.pairs import AiToolkit, DiffusionPipe, MusubiTuner, SimpleTuner
from clipmill.dataset.formats.tars import WebDataset
from clipmill.dataset.formats.tree import Tree, remove, remove_empty
from clipmill.store.layout import CLIPS_FOLDER


class Parquet(Format):
    """All columns of the metadata, typed. It is always written, since the report reads it too."""

    entries = (METADATA,)
    title = "Parquet"
    language = "python"
    load = 'import pandas\n\nclips = pandas.read_parquet("metadata.parquet")'


FORMATS: dict[str, type[Format]] = {
    "easyanimate": EasyAnimate,
    "jsonl": JsonLines,
    "parquet": Parquet,
    "hf-videofolder": VideoFolder,
    "webdataset": WebDataset,
    "finetrainers": Finetrainers,
    "diffusers": Diffusers,
    "musubi-tuner": MusubiTuner,
    "diffusion-pipe": DiffusionPipe,
    "videox-fun": VideoXFun,
    "ltx-trainer": LtxTrainer,
    "diffsynth": DiffSynth,
    "fastvideo": FastVideo,
    "simpletuner": SimpleTuner,
    "ai-toolkit": AiToolkit,
    "data-juicer": DataJuicer,
}


def splits(validation_share: float) -> tuple[str, ...]:
    """The splits of the dataset: without a share for validation only `train`."""
    return SPLITS if validation_share else SPLITS[:1]


def entries(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The files, below the dataset folder, with which readers of the formats `names` begin, for the splits `parts`."""
    found = [
        entry.format(split=split)
        for name in names
        if name != "parquet"
        for entry in FORMATS[name].entries
        for split in parts
    ]
    return list(dict.fromkeys(found))


def files(dataset: Path, names: Sequence[str], parts: Sequence[str]) -> Iterator[Path]:
    """The files to which a dataset's lists refer: clips, and those of the formats `names` for the splits `parts`."""
    yield from Tree(dataset / CLIPS_FOLDER, (".mp4",)).files()
    for name in dict.fromkeys(names):
        for split in parts:
            yield from FORMATS[name].files(dataset, split)


def lists(dataset: Path, names: Sequence[str], parts: Sequence[str]) -> list[Path]:
    """The files of a dataset with which a reader begins: those of the formats, the metadata and the card."""
    return [dataset / below for below in (*entries(names, parts), METADATA, CARD)]


def remove_unwanted(dataset: Path, names: Collection[str], parts: Collection[str]) -> None:
    """Remove the files of formats that are not among `names`, and those of splits that are not among `parts`.

    Files of other programs stay: trainers are started here, and leave caches and checkpoints.
    """
    wanted = set(entries(list(names), list(parts)))
    for name, kind in FORMATS.items():
        gone = [split for split in SPLITS if name not in names or split not in parts]
        for below in set(entries([name], gone)) - wanted:
            remove(dataset / below)
        for split in gone:
            kind.remove(dataset, split)
            remove_empty(dataset / name / split)
        remove_empty(dataset / name)
