"""Parquet files: numbers a batch at a time, and pictures when they are asked for."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from s2e.core.errors import UserError, optional
from s2e.video.files import reading
from s2e.video.frames import StoredImages, Which

_MAX_ROWS = 1 << 24  # in one file; datasets cut their files at some hundred megabytes
_MAX_VALUES = 1 << 26  # numbers of a column in one group of rows


def inside(folder: Path, text: str) -> Path | None:
    """A path that data name, in a folder; None where it would lead out of it."""
    parts = PurePosixPath(text.replace("\\", "/")).parts
    if (
        not parts
        or ".." in parts
        or text.startswith(("/", "\\", "~"))
        or ":" in text
        or "\0" in text
        or len(text) > 1000
    ):
        return None
    return folder.joinpath(*parts)


def types(file: Path) -> dict[str, int]:
    """The columns of numbers: 1 for a number a row, 0 for a list of them."""
    found = {}
    with _reading(file):
        for field in _arrow("pyarrow.parquet").read_schema(file):
            many = _is_list(field.type)
            if _is_number(field.type.value_type if many else field.type):
                found[field.name] = 0 if many else 1
    return found


def batches(
    file: Path, names: Sequence[str], size: int = 4096, rows: np.ndarray | None = None
) -> Iterator[tuple[int, Any]]:
    """Reads some columns from front to back.

    Args:
        file: Parquet. names: the columns. size: rows a batch. rows: (R,) increasing, those needed:
            other row groups are passed over.

    Yields:
        The number of a batch's first row, and the pyarrow RecordBatch.

    Raises:
        UserError: missing, damaged or too large, or without one of the columns.
    """
    if not file.is_file():
        raise UserError(f"{file}: missing; download the whole dataset")
    with _reading(file):
        parquet = _arrow("pyarrow.parquet")
        with parquet.ParquetFile(file, page_checksum_verification=True) as table:
            lost = [n for n in names if n not in table.schema_arrow.names]
            if lost:
                raise UserError(
                    f"{file}: no column {lost[0]!r}; there are "
                    f"{', '.join(table.schema_arrow.names[:40])}"
                )
            about = table.metadata
            if not 0 <= about.num_rows <= _MAX_ROWS:
                raise UserError(
                    f"{file}: {about.num_rows} rows; at most {_MAX_ROWS} are read from one file"
                )
            first = 0
            for g in range(about.num_row_groups):
                group = about.row_group(g)
                end = first + group.num_rows
                if rows is None or np.searchsorted(rows, first) < np.searchsorted(rows, end):
                    for c in range(group.num_columns):
                        column = group.column(c)
                        if column.num_values > _MAX_VALUES and column.path_in_schema.startswith(
                            tuple(names)
                        ):
                            raise UserError(
                                f"{file}: {column.num_values} numbers in one group of rows; write "
                                "it in smaller ones"
                            )
                    at = first
                    for batch in table.iter_batches(
                        size, row_groups=[g], columns=list(names), use_threads=False
                    ):
                        yield at, batch
                        at += batch.num_rows
                first = end


def matrix(batch: Any, name: str, file: Path) -> np.ndarray:
    """(rows, K) float64 of a column of numbers or of lists of K numbers; NaN where there is
    none.
    """
    with _reading(file):
        place = batch.schema.get_field_index(name)
        if place < 0:
            raise UserError(f"{file}: several columns are called {name!r}; download it again")
        column, width = batch.column(place), 1
        if _is_list(column.type):
            if column.null_count:
                raise UserError(
                    f"{file}: {name} is empty in {column.null_count} rows; remove the episode"
                )
            lengths = np.unique(_arrow("pyarrow.compute").list_value_length(column))
            if len(lengths) > 1:
                raise UserError(
                    f"{file}: {name} has between {lengths.min()} and {lengths.max()} elements; the "
                    "dataset is inconsistent"
                )
            width = int(lengths[0]) if len(lengths) else 1
            column = column.flatten()
        if not _is_number(column.type):
            raise UserError(f"{file}: {name} holds {column.type}; numbers are expected")
        return column.to_numpy(zero_copy_only=False).astype(np.float64).reshape(-1, width)


class ParquetImages(StoredImages):
    """Pictures inside a data file: structures of `bytes` and `path`, or bytes alone.

    Args:
        file: Parquet. key: the column. rows: (T,) int64, increasing. root: the dataset's folder,
            where paths start.
    """

    def __init__(self, file: Path, key: str, rows: np.ndarray, root: Path):
        super().__init__(len(rows), lambda t: f"{file}: {key} in row {rows[t]}")
        self.file = file
        self.key = key
        self.rows = rows
        self.root = root

    def stored(self, which: Which) -> Iterator[tuple[int, bytes]]:
        """See `StoredImages`."""
        index = np.asarray(which, dtype=np.int64)
        wanted = self.rows[index]
        done = 0
        for first, batch in batches(self.file, [self.key], size=16, rows=wanted):
            while done < len(wanted) and wanted[done] < first + batch.num_rows:
                with _reading(self.file):
                    value = batch.column(0)[int(wanted[done] - first)].as_py()
                yield int(index[done]), self._content(value, int(index[done]))
                done += 1
        if done < len(wanted):
            raise UserError(f"{self.name(int(index[done]))}: missing; download it again")

    def _content(self, value: Any, t: int) -> bytes:
        data, name = (
            (value.get("bytes"), value.get("path")) if isinstance(value, dict) else (value, None)
        )
        if isinstance(data, bytes):
            return data
        path = inside(self.root, name) if isinstance(name, str) else None
        if path is None:
            raise UserError(
                f"{self.name(t)}: neither a picture nor the path of one inside the dataset; "
                "download it again"
            )
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{path}: not readable ({error.strerror}); download the whole dataset"
            ) from None


def _reading(file: Path) -> AbstractContextManager[None]:
    return reading(file, "Parquet file", "download it again")


def _arrow(module: str = "pyarrow") -> Any:
    return optional(module, "LeRobot datasets", "video")


def _is_list(kind: Any) -> bool:
    types = _arrow().types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _is_number(kind: Any) -> bool:
    types = _arrow().types
    return types.is_floating(kind) or types.is_integer(kind)
