"""What a table is: its columns, and how it is written, read and checked. The tables themselves are in `tables`.

pyarrow is imported only where a table is read or written: the rules import this module, and every job parses the rules.
"""

from __future__ import annotations

import importlib.abc
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from clipmill import __version__
from clipmill.base.errors import SetupError
from clipmill.base.files import atomic, clean_text
from clipmill.store.layout import GROUP, SHARD

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

# Types of columns, as Arrow names them.
TEXT, INTEGER, REAL, FLAG = "string", "int64", "double", "bool"
SMALL, SMALL_INTEGER = "float", "int32"
BYTES = "binary"
THUMBNAIL, MINIATURE = "fixed_size_binary[64]", "fixed_size_binary[3888]"
REALS, SMALL_REALS = "list<item: double>", "list<item: float>"

ABOUT, VERSION, NAME = b"clipmill", b"clipmill_version", b"clipmill_table"  # keys of a file's metadata

Row = dict[str, Any]
"""A row whose columns no type names: its values by column. A missing key is a missing value."""

RowType = TypeVar("RowType", bound=Mapping[str, Any])


@dataclass(frozen=True)
class Column:
    """One column. Its numbers are rounded to `decimals`, once, when the table is written.

    `filter`: the column's place in the default order of filters; None where clips cannot be filtered by it. `words`:
    all values that a column of words may have; empty where they are not fixed.
    """

    name: str
    type: str
    unit: str
    meaning: str
    decimals: int | None = None
    filter: int | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Field:
    """The rest of a column that a field of a typed row stands for: all but its name and type."""

    unit: str
    meaning: str
    decimals: int | None = None
    filter: int | None = None
    words: tuple[str, ...] = ()


def columns_of(row: type) -> tuple[Column, ...]:
    """The columns of a TypedDict whose fields are `Annotated` with a `Field`."""
    types = {str: TEXT, int: INTEGER, float: REAL, bool: FLAG, list[float]: REALS}
    columns = []
    for name, hint in get_type_hints(row, include_extras=True).items():
        assert get_origin(hint) is Annotated
        kind, field = get_args(hint)
        kind = next(part for part in (get_args(kind) or (kind,)) if part is not type(None))  # `str | None` is a string
        columns.append(Column(name, types[kind], **vars(field)))
    return tuple(columns)


class UnreadableTable(SetupError):
    """A file is damaged, or no table of its kind."""


@dataclass(frozen=True)
class Table(Generic[RowType]):
    """One table: its path below the output folder, the thing that it has one `row` per, and its columns in order.

    The metadata of a file names its table and the version of clipmill that wrote it. Files of older versions are read
    too: a column that they lack is null. `remedy` says what to do with a file that cannot be read.
    """

    name: str
    path: str
    row: str
    columns: tuple[Column, ...]
    remedy: str = "delete the file and run again, it will be rebuilt"

    @cached_property
    def schema(self) -> pa.Schema:
        """The columns, as Arrow sees them."""
        import pyarrow as pa

        return pa.schema([(column.name, _arrow_type(column.type)) for column in self.columns])

    def schema_about(self, about: Mapping[str, Any] | None = None) -> pa.Schema:
        """The schema of a file, with its metadata; `about` says how the table was made (model, parameters…)."""
        metadata = {NAME: self.name.encode(), VERSION: __version__.encode()}
        if about is not None:
            metadata[ABOUT] = json.dumps(about, sort_keys=True).encode()
        return self.schema.with_metadata(metadata)

    def of(self, outdir: Path, shard: str) -> Path:
        """Path of the table of a shard."""
        return outdir / self.path.replace(SHARD, shard).replace(GROUP, shard)

    def from_rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Rows (dicts; a missing key is a missing value, an unknown key an error) as an Arrow table, rounded."""
        import pyarrow as pa

        rows = list(rows)
        names = {column.name for column in self.columns}
        for row in rows:
            if unknown := row.keys() - names:
                raise KeyError(f"table {self.name} has no column {sorted(unknown)}")
        return pa.table([_array(column, rows) for column in self.columns], schema=self.schema)

    def write(self, path: Path, rows: Iterable[Mapping[str, Any]], about: Mapping[str, Any] | None = None) -> None:
        """Write `rows` to `path` as Parquet, atomically; `about` (model, parameters…) goes into its metadata."""
        self.write_parts(path, [self.from_rows(rows)], about)

    def write_parts(self, path: Path, parts: Iterable[pa.Table], about: Mapping[str, Any] | None = None) -> None:
        """Write a table piece by piece, one row group each. Holds one piece in memory."""
        import pyarrow.parquet as pq

        schema = self.schema_about(about)
        with atomic(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for part in parts:
                # `cast` imports pyarrow.compute, which takes longer than writing most tables.
                same = part.schema.equals(schema)
                writer.write_table(part.replace_schema_metadata(schema.metadata) if same else part.cast(schema))

    def read(self, path: Path, columns: Sequence[str] | None = None) -> pa.Table:
        """All or some columns of `path`. Raises SetupError, naming the file, if it is no table of this kind."""
        with self._opened(path, columns) as (file, wanted, there):
            # Without threads: workers are forked, and forks and threads do not mix.
            return self._filled(file.read(there, use_threads=False), wanted, file.metadata.num_rows)

    def rows(self, path: Path) -> list[RowType]:
        """All rows of `path` as dicts. For tables with one row per clip or video; use `read` for one row per frame."""
        return self.read(path).to_pylist()

    def batches(self, path: Path, columns: Sequence[str] | None = None, size: int = 4096) -> Iterator[pa.RecordBatch]:
        """All or some columns of `path` in batches of at most `size` rows. Raises as `read` does."""
        import pyarrow as pa

        with self._opened(path, columns) as (file, wanted, there):
            for batch in file.iter_batches(size, columns=there, use_threads=False):
                filled = self._filled(pa.Table.from_batches([batch]), wanted, len(batch))
                yield from filled.combine_chunks().to_batches()

    def count(self, path: Path) -> int:
        """Number of rows in `path`. Raises as `read` does."""
        with self._opened(path) as (file, _, _):
            return file.metadata.num_rows

    def take(self, path: Path, rows: Iterable[int], columns: Sequence[str]) -> pa.Table:
        """Some rows of `path`, by number, in rising order, each once. Holds one row group. Raises as `read` does."""
        import numpy as np
        import pyarrow as pa

        numbers = np.unique(np.fromiter(rows, np.int64))
        with self._opened(path, columns) as (file, wanted, there):
            parts, first = [wanted.empty_table()], 0
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                here = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, first + count)]
                if len(here):
                    part = file.read_row_group(group, there, use_threads=False).take(here - first)
                    parts.append(self._filled(part, wanted, len(here)))
                first += count
        return pa.concat_tables(parts)

    @contextmanager
    def _opened(
        self, path: Path, columns: Sequence[str] | None = None
    ) -> Iterator[tuple[pq.ParquetFile, pa.Schema, list[str]]]:
        """The open file, the schema of the wanted columns, and the names of those that the file has."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                found = file.schema_arrow
                self._check(path, found)
                schema = self.schema
                wanted = schema if columns is None else pa.schema([schema.field(column) for column in columns])
                known = set(found.names)
                yield file, wanted, [name for name in wanted.names if name in known]
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # the operating system's, not Arrow's
                raise
            raise UnreadableTable(f"{path}: unreadable ({error}); {self.remedy}") from error

    def _check(self, path: Path, found: pa.Schema) -> None:
        """Raise SetupError for a file of a newer clipmill or of another table."""
        metadata = found.metadata or {}
        version, name = metadata.get(VERSION, b"").decode(), metadata.get(NAME, b"").decode()
        if _numbers(version) > _numbers(__version__):
            raise SetupError(
                f"{path}: written by clipmill {version}, and this is clipmill {__version__}; run clipmill {version} or "
                "a later one, or name another outdir"
            )
        theirs, ours = (dict(zip(schema.names, schema.types, strict=True)) for schema in (found, self.schema))
        # Files of 0.1 do not say which table they are; none of them has a column that later versions do not know.
        of_this_kind = name == self.name if name else theirs.keys() <= ours.keys()
        if not of_this_kind or not all(_same_type(theirs[column], ours[column]) for column in theirs.keys() & ours):
            raise UnreadableTable(f"{path}: not a table `{self.name}` of this version of clipmill; {self.remedy}")

    @staticmethod
    def _filled(table: pa.Table, wanted: pa.Schema, rows: int) -> pa.Table:
        """`table` with the wanted columns; a column that it lacks is null."""
        import pyarrow as pa

        if table.schema.equals(wanted):
            return table
        there = set(table.schema.names)
        arrays = [table[field.name] if field.name in there else pa.nulls(rows, field.type) for field in wanted]
        return pa.table(arrays, names=wanted.names).cast(wanted.with_metadata(table.schema.metadata))


def _same_type(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column has its type, or no value at all. Pandas, which wrote the index of 0.1, has other texts."""
    return found.equals(wanted) or str(found) in ("null", f"large_{wanted}")


def about(path: Path) -> dict[str, Any]:
    """How a table was made (model, parameters…), from its metadata."""
    import pyarrow.parquet as pq

    return about_of(pq.read_schema(path))


def about_of(schema: pa.Schema) -> dict[str, Any]:
    """The same from the schema that was read with a table."""
    return json.loads((schema.metadata or {}).get(ABOUT, b"{}"))


def vector(length: int) -> str:
    """The type of a column that holds `length` numbers in half precision."""
    return f"fixed_size_list<item: halffloat>[{length}]"


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    length = int(name.rpartition("[")[2].removesuffix("]")) if name.startswith("fixed_size") else -1
    if name.startswith("fixed_size_binary"):
        return pa.binary(length)
    if name.startswith("fixed_size_list"):
        return pa.list_(pa.float16(), length)
    if name in (REALS, SMALL_REALS):
        return pa.list_(pa.float64() if name == REALS else pa.float32())
    return pa.type_for_alias(name)


def _array(column: Column, rows: list[Mapping[str, Any]]) -> pa.Array:
    import pyarrow as pa

    values = [row.get(column.name) for row in rows]
    if column.decimals is not None:
        values = [_rounded(value, column.decimals) for value in values]
    elif column.type == TEXT:
        values = [None if value is None else clean_text(value) for value in values]
    return pa.array(values, _arrow_type(column.type))


def _rounded(value: Any, decimals: int) -> Any:
    if value is None:
        return None
    if isinstance(value, list):
        return [_rounded(item, decimals) for item in value]
    return round(float(value), decimals) + 0.0  # +0.0 turns -0.0 into 0.0


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare it with another; () for no version, which is less than all others."""
    release = re.match(r"\d+(\.\d+)*", version)  # 0.3.0 of 0.3.0rc1
    return tuple(map(int, release[0].split("."))) if release else ()


class _NoPandas(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ImportError("not wanted here")


def spare_pandas() -> None:
    """Keep pyarrow from importing pandas, which takes longer than most jobs. Does nothing where pandas is in use.

    pyarrow looks for pandas once, at the first array that it makes, to recognize pandas' types later.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)
