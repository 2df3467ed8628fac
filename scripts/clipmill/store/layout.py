"""Where everything lies below an output folder: the library reads each path here.

The rules repeat the paths of their inputs and outputs; `tests/workflow/test_steps.py` compares them with these.

A table has one file per shard, or one per group of shards, named after the group's first shard. Snakemake knows the
tables. It does not know the files of single videos and clips beside them; losing those costs only time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORK = "work"
SHARD, GROUP, VIDEO, BACKEND = "<shard>", "<first shard>", "<video>", "<backend>"
STEP, JOB = "<step>", "<job>"

# Paths of tables, which stand in `tables.Table.path`.
FETCHES = f"{WORK}/fetch/{SHARD}.parquet"
VIDEOS = f"{WORK}/videos/{SHARD}.parquet"
PARTS = f"{WORK}/parts/{SHARD}.parquet"
SIGNALS = f"{WORK}/signals/{SHARD}/{VIDEO}.parquet"
MINIATURES = f"{WORK}/miniatures/{SHARD}/{VIDEO}.parquet"
SOUND_SIGNALS = f"{WORK}/sound/{SHARD}/{VIDEO}.parquet"
SHOTS = f"{WORK}/shots/{SHARD}.parquet"
TRANSITIONS = f"{WORK}/transitions/{SHARD}.parquet"
CLIPS = f"{WORK}/clips/{SHARD}.parquet"
EMBEDDINGS = f"{WORK}/embeddings/{BACKEND}/{SHARD}.parquet"
VERDICTS = f"{WORK}/verdicts/{SHARD}.parquet"
FINGERPRINTS = f"{WORK}/fingerprints/{SHARD}.parquet"
PAIRS = f"{WORK}/pairs/{BACKEND}.parquet"
DUPLICATES = f"{WORK}/duplicates.parquet"
JUDGEMENTS = f"{WORK}/judgements/{GROUP}.parquet"
CAPTIONS = f"{WORK}/captions/{GROUP}.parquet"
REWRITES = f"{WORK}/rewrites/{GROUP}.parquet"
CUTS = f"{WORK}/cuts/{SHARD}.parquet"
INDEX = f"{WORK}/index/videos.parquet"
GIVEN = f"{WORK}/index/given/{SHARD}.parquet"
FINAL_VERDICTS = "verdicts.parquet"
CLIPS_FOLDER = "clips"  # of the dataset
METADATA = "dataset/metadata.parquet"
ERRORS = "errors.csv"
BENCHMARK = f"benchmarks/{STEP}/{JOB}.tsv"

CLASSIFIER = "classifier_"  # begins the name of the step, the table, the column and the filter of a named classifier

# Folders below work/.
OF_SINGLE_ITEMS = (
    "fetched", "signals", "miniatures", "sound", "frames", "embeddings", "pairs", "clip_files", "journals",
)  # fmt: skip


def scores(metric: str) -> str:
    """The path of the table of a metric."""
    return f"{WORK}/scores/{metric}/{SHARD}.parquet"


def is_classifier(name: str) -> bool:
    """Whether a step, table, column or filter is that of a classifier, whose name the config gives."""
    return name.startswith(CLASSIFIER)


def clip_file(video_id: str, clip_id: str) -> str:
    """The path of a clip's file below `Paths.dataset_clips`."""
    return f"{video_id}/{clip_id}.mp4"


@dataclass(frozen=True)
class Paths:
    """The paths below one output folder."""

    outdir: Path

    @property
    def work(self) -> Path:
        """Everything that makes a second run cheap."""
        return self.outdir / WORK

    # --- the results of a run, for people and trainers ---

    @property
    def dataset(self) -> Path:
        """The dataset folder."""
        return self.outdir / "dataset"

    @property
    def dataset_clips(self) -> Path:
        """The files of the dataset's clips."""
        return self.dataset / CLIPS_FOLDER

    @property
    def metadata(self) -> Path:
        return self.outdir / METADATA

    @property
    def final_verdicts(self) -> Path:
        return self.outdir / FINAL_VERDICTS

    @property
    def errors(self) -> Path:
        return self.outdir / ERRORS

    @property
    def summary(self) -> Path:
        return self.outdir / "summary.json"

    @property
    def models(self) -> Path:
        return self.outdir / "models.json"

    @property
    def report(self) -> Path:
        return self.outdir / "report.html"

    @property
    def review_page(self) -> Path:
        return self.outdir / "review.html"

    @property
    def review_file(self) -> Path:
        """What a person decided about clips, as `snakemake browse` writes it: see `store.review`."""
        return self.outdir / "review.jsonl"

    @property
    def calibration(self) -> Path:
        """The output folder of the run on a calibration sample."""
        return self.outdir / "calibrate"

    @property
    def calibration_sheet(self) -> Path:
        """The videos of the calibration sample; `outdir` is that of its run."""
        return self.outdir / "videos.jsonl"

    def benchmark(self, step: str, job: str) -> Path:
        """What a job took."""
        return self.outdir / BENCHMARK.replace(STEP, step).replace(JOB, job)

    def log(self, step: str, job: str) -> Path:
        """What a job wrote on its terminal."""
        return self.outdir / "logs" / step / f"{job}.log"

    @property
    def benchmarks(self) -> Path:
        return self.outdir / "benchmarks"

    # --- the index of videos ---

    @property
    def index(self) -> Path:
        return self.work / "index"

    @property
    def videos(self) -> Path:
        """The whole index, one row per video."""
        return self.outdir / INDEX

    @property
    def shards(self) -> Path:
        """The shards, one per line: name and number of videos."""
        return self.index / "shards.txt"

    def shard(self, name: str) -> Path:
        """The videos of one shard, as its jobs read them."""
        return self.index / "shards" / f"{name}.jsonl"

    @property
    def shards_to_fetch(self) -> Path:
        """The shards with videos that must be fetched, one per line with their origins; missing if there are none."""
        return self.index / "fetch.txt"

    @property
    def shards_to_fetch_first(self) -> Path:
        """Those of them whose videos a job of its own fetches, one per line; missing if there have been none."""
        return self.index / "fetch_first.txt"

    @property
    def archives(self) -> Path:
        """What each archive of the input holds, so that it is listed again only if it has changed."""
        return self.index / "archives"

    @property
    def problems(self) -> Path:
        """Entries of the input that cannot be used."""
        return self.index / "problems.jsonl"

    @property
    def removed(self) -> Path:
        """Videos that have gone since they were first seen."""
        return self.index / "removed.jsonl"

    @property
    def decisions(self) -> Path:
        """What a person decided about clips, as the run at work or the last one follows it."""
        return self.work / "decisions.jsonl"

    @property
    def index_lock(self) -> Path:
        """The lock that is held while the index is updated."""
        return self.index / "lock"

    @property
    def spellings(self) -> Path:
        """How this folder was spelled by the first run of each working folder."""
        return self.index / "spellings.json"

    @property
    def again(self) -> Path:
        """Ids of videos that could not be read but may be readable later, or are to be decoded again."""
        return self.index / "again"

    # --- files of the run, of steps and shards, of single videos and clips ---

    @property
    def run_lock(self) -> Path:
        """The lock that the run at work holds."""
        return self.work / "run.lock"

    def check(self, step: str) -> Path:
        """The models of a step, found before the first video is decoded."""
        return self.work / "checks" / f"{step}.json"

    def thresholds(self, stage: str) -> Path:
        """The values of a stage's quantiles."""
        return self.work / "thresholds" / f"{stage}.json"

    def journal(self, step: str, shard: str) -> Path:
        """The items of a shard that the jobs of a step have finished."""
        return self.work / "journals" / step / f"{shard}.jsonl"

    @property
    def fetched(self) -> Path:
        """The fetched files of videos, unless `fetch.directory` names another place; a folder per shard."""
        return self.work / "fetched"

    def frames(self, shard: str, video_id: str) -> Path:
        """The archive of a video's kept frames."""
        return self.work / "frames" / shard / f"{video_id}.zip"

    def signals(self, shard: str, video_id: str) -> Path:
        """The signals of a video."""
        return self.outdir / SIGNALS.replace(SHARD, shard).replace(VIDEO, video_id)

    def miniatures(self, shard: str, video_id: str) -> Path:
        """The miniatures of a video."""
        return self.outdir / MINIATURES.replace(SHARD, shard).replace(VIDEO, video_id)

    def sound_signals(self, shard: str, video_id: str) -> Path:
        """The signals of a video's sound."""
        return self.outdir / SOUND_SIGNALS.replace(SHARD, shard).replace(VIDEO, video_id)

    def embeddings(self, backend: str, shard: str) -> Path:
        """The embeddings that a backend was asked to keep."""
        return self.outdir / EMBEDDINGS.replace(BACKEND, backend).replace(SHARD, shard)

    def pairs(self, backend: str) -> Path:
        """The pairs of clips that were found to be alike, and which clips have been compared."""
        return self.outdir / PAIRS.replace(BACKEND, backend)

    @property
    def duplicates(self) -> Path:
        """The groups of clips that are alike, and the clips beyond a limit."""
        return self.outdir / DUPLICATES

    @property
    def clip_files(self) -> Path:
        """The cut clips; a folder per shard, and below it one per video."""
        return self.work / "clip_files"

    @property
    def export_state(self) -> Path:
        """Notes of the formats on the files that they have written."""
        return self.work / "export"

    # --- questions about all files ---

    @property
    def is_outdir(self) -> bool:
        """Whether a run has begun to write here. `work/` may have been deleted since. A closed folder is none."""
        isfile = os.path.isfile  # unlike `Path.is_file` it raises nothing
        return isfile(self.shards) or (isfile(self.final_verdicts) and isfile(self.summary))

    @property
    def started(self) -> bool:
        """Whether a job of fetching or decoding has ever begun. Until then the index may be rebuilt from nothing."""
        begun = ("journals/fetch", "journals/decode", "frames", "signals", "videos")
        return any((self.work / folder).exists() for folder in begun)

    def compared(self) -> Iterator[Path]:
        """The files whose times Snakemake compares: all but those of single videos and clips."""
        for folder in (self.outdir, self.dataset):
            yield from (path for path in folder.glob("*.*") if path.is_file())
        for directory, folders, names in os.walk(self.work):
            folders[:] = [name for name in folders if name not in OF_SINGLE_ITEMS]
            yield from (Path(directory, name) for name in names)
