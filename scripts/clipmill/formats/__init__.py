"""The formats in which the dataset is handed over: by the names that the config's `export.formats` takes."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from clipmill.formats.assign import SPLITS
from clipmill.formats.folders import DiffusionPipe, MusubiTuner, VideoFolder
from clipmill.formats.layout import Format
from clipmill.formats.lists import DataJuicer, Diffusers, EasyAnimate, Finetrainers, JsonLines
from clipmill.formats.tars import WebDataset
from clipmill.formats.tree import temporary


class Parquet(Format):
    """All columns of the metadata, typed. It is always written, since the report reads it too."""

    entries = ("metadata.parquet",)
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
    "data-juicer": DataJuicer,
}


def splits(validation_share: float) -> tuple[str, ...]:
    """The parts that the dataset has."""
    return SPLITS if validation_share else SPLITS[:1]


def entries(names: Sequence[str], parts: Sequence[str]) -> list[str]:
    """The files below the dataset folder by which the formats `names` are read, those of all `parts`."""
    found = [
        entry.format(split=split)
        for name in names
        if name != "parquet"
        for entry in FORMATS[name].entries
        for split in parts
    ]
    return list(dict.fromkeys(found))


def remove_unwanted(dataset: Path, names: Collection[str], parts: Collection[str]) -> None:
    """Remove all files of formats that are not among `names`, and those of splits that are not among `parts`."""
    for name in FORMATS:
        if name in names:
            gone = [split for split in SPLITS if split not in parts]
            _remove(dataset, set(entries([name], gone)) - set(entries([name], list(parts))))
            _remove(dataset, {f"{name}/{split}" for split in gone})
        else:
            _remove(dataset, [*entries([name], SPLITS), name])


def _remove(dataset: Path, below: Collection[str]) -> None:
    """Remove files, and folders with all that is in them, where there are any; also what a killed export left."""
    for path in (dataset / name for name in below):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
            temporary(path).unlink(missing_ok=True)
