"""Videos in the cells of a Parquet file, as the Hugging Face hub stores them: which column has them, and reading it.

A row group may have gigabytes. So it is read in batches of a few rows, and of the column of videos alone.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from clipmill.base.errors import ItemError, in_line, item_error
from clipmill.fetch.archives import check_unchanged, reading
from clipmill.fetch.files import Arriving, Outcome
from clipmill.store.tables import IndexedVideo

BATCH_BYTES = 16 << 20  # of a batch of rows, about
MOST_ROWS = 1024  # of a batch
BUFFER = 1 << 20  # bytes that are read of a column at once; else Arrow reads the whole column of a row group
BYTES, PATH = "bytes", "path"  # fields of a column of structs
# Names of columns that hold videos, if the file's own metadata does not say it: as `datasets` and WebDataset have them.
NAMES = ("video", "mp4", "webm", "mkv", "mov", "avi", "video_bytes", BYTES)
DAMAGE = (OSError, pa.ArrowException)  # what Arrow raises when it reads a damaged file


@dataclass(frozen=True)
class VideoColumn:
    """The column of videos. `is_struct`: whether its cells have fields, `bytes` and mostly `path`."""

    name: str
    is_struct: bool
    has_paths: bool

    @property
    def leaf(self) -> str:
        """The column of bytes, as Parquet names it."""
        return f"{self.name}.{BYTES}" if self.is_struct else self.name


@contextmanager
def opened(path: Path | str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, to read its columns piece by piece and check what has checksums."""
    with pq.ParquetFile(path, buffer_size=BUFFER, page_checksum_verification=True) as file:
        yield file


def holds_videos(path: Path) -> bool:
    """Whether the columns of a file say that it is Parquet with videos. False for a file that cannot be read."""
    try:
        with opened(path) as file:
            return video_column(file) is not None
    except DAMAGE:
        return False


def video_column(file: pq.ParquetFile) -> VideoColumn | None:
    """The column that holds the bytes of videos; None if there is none, or if all its cells are empty.

    A column that the hub's metadata calls one of videos comes first. A file with a column `path` is a sheet of paths.
    """
    schema = file.schema_arrow
    if PATH in schema.names:
        return None
    for name in (*_of_the_hub(schema), *NAMES):
        if schema.names.count(name) == 1 and (column := _video_column(schema.field(name))):
            return column if _filled(file, column) else None
    return None


def _of_the_hub(schema: pa.Schema) -> list[str]:
    """The columns that `datasets` has written down as videos."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return [name for name, feature in features.items() if feature.get("_type") == "Video"]
    except (ValueError, KeyError, TypeError, AttributeError):  # it is not as `datasets` writes it
        return []


def _video_column(field: pa.Field) -> VideoColumn | None:
    if _is_bytes(field.type):
        return VideoColumn(field.name, False, False)
    place = field.type.get_field_index(BYTES) if pa.types.is_struct(field.type) else -1
    if place < 0 or not _is_bytes(field.type.field(place).type):
        return None
    return VideoColumn(field.name, True, field.type.get_field_index(PATH) >= 0)


def _is_bytes(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _chunks(file: pq.ParquetFile, column: VideoColumn) -> Iterator[pq.ColumnChunkMetaData]:
    """The column of bytes in each row group."""
    number = next(number for number in range(len(file.schema)) if file.schema.column(number).path == column.leaf)
    for group in range(file.num_row_groups):
        yield file.metadata.row_group(group).column(number)


def _filled(file: pq.ParquetFile, column: VideoColumn) -> bool:
    """Whether some cell has bytes, as far as the file's statistics say. Else its structs have paths of files."""
    for chunk in _chunks(file, column):
        known = chunk.statistics
        if known is None or not known.has_null_count or known.null_count < chunk.num_values:
            return True
    return file.num_row_groups == 0


def batches(
    file: pq.ParquetFile, column: VideoColumn, group: int, others: Sequence[str] = ()
) -> Iterator[tuple[int, pa.Array, pa.RecordBatch]]:
    """The cells of a row group, some rows at a time: the first row's number in the file, the bytes, all columns.

    `others`: columns to read as well. Raises OSError and pa.ArrowException for a damaged file.
    """
    rows = [file.metadata.row_group(number).num_rows for number in range(group + 1)]
    chunk = list(_chunks(file, column))[group]
    size = max(1, min(MOST_ROWS, BATCH_BYTES * rows[group] // max(1, chunk.total_uncompressed_size)))
    first = sum(rows[:group])
    for batch in file.iter_batches(size, row_groups=[group], columns=[column.leaf, *others], use_threads=False):
        cells = batch.column(column.name)
        if column.is_struct:
            cells = cells.flatten()[cells.type.get_field_index(BYTES)]
        yield first, cells, batch
        first += len(batch)


def fetch(videos: Sequence[IndexedVideo], arriving: Arriving) -> Iterator[Outcome]:
    """See the package. Errors: damaged_archive, missing_member, and those of `archives`."""
    for _, of_file in groupby(sorted(videos, key=_place), key=lambda video: video["path"]):
        yield from _of_file(list(of_file), arriving)


def _place(video: IndexedVideo) -> tuple[str, int]:
    assert video["offset"] is not None  # as of each video in a Parquet file
    return video["path"], video["offset"]


def _of_file(videos: list[IndexedVideo], arriving: Arriving) -> Iterator[Outcome]:
    """Bring the videos of one file, in the order of its rows."""
    waiting = {_place(video)[1]: video for video in videos}
    lost = None
    try:
        for row, cell in _cells(videos[0], list(waiting)):
            yield waiting[row], _written(waiting[row], cell, arriving)
            del waiting[row]
    except ItemError as error:
        lost = error
    for row, video in waiting.items():
        missing = f"its archive has no video in row {row + 1} any more; copy the archive again"
        yield video, lost or ItemError("missing_member", missing)


def _written(video: IndexedVideo, cell: pa.Buffer | ItemError, arriving: Arriving) -> ItemError | None:
    """Write a video. Returns its error; raises one that others would meet too."""
    try:
        if isinstance(cell, ItemError):
            raise cell
        check_unchanged(video)
        with arriving(video) as path:
            path.write_bytes(memoryview(cell))
    except Exception as error:
        if (found := item_error(error)) is None:
            raise
        return found
    return None


def _cells(video: IndexedVideo, rows: Sequence[int]) -> Iterator[tuple[int, pa.Buffer | ItemError]]:
    """The bytes in rising `rows` of the file of `video`, without empty ones; errors of rows that cannot be read.

    Raises ItemError if nothing more can be read.
    """
    check_unchanged(video)
    try:
        with reading(video), opened(video["path"]) as file:
            column, end = video_column(file), 0
            if column is None:
                return
            for group in range(file.num_row_groups):
                begin, end = end, end + file.metadata.row_group(group).num_rows
                wanted = deque(row for row in rows if begin <= row < end)
                yield from _cells_of_group(file, column, group, wanted)
    except pa.ArrowException as error:
        raise ItemError("damaged_archive", f"its archive cannot be read ({in_line(error)}); copy it again") from error


def _cells_of_group(
    file: pq.ParquetFile, column: VideoColumn, group: int, wanted: deque[int]
) -> Iterator[tuple[int, pa.Buffer | ItemError]]:
    try:
        for first, cells, _ in batches(file, column, group) if wanted else ():
            while wanted and wanted[0] < first + len(cells):
                cell = cells[wanted[0] - first]
                if cell.is_valid:
                    yield wanted[0], cell.as_buffer()
                wanted.popleft()
            if not wanted:
                return
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:  # the operating system's, not Arrow's
            raise
        message = f"its part of the archive cannot be read ({in_line(error)}); copy the archive again"
        yield from ((row, ItemError("damaged_archive", message)) for row in wanted)
