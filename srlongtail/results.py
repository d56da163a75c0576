"""Write results to files atomically, and read them: tables as CSV, records as JSON, maps as NPZ."""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.files import replacing, write_bytes


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV with eight significant digits."""
    return write_bytes(path, table_bytes(table))


def table_bytes(table: pd.DataFrame) -> bytes:
    """Return what `write_table` writes."""
    return str(table.to_csv(index=False, float_format="%.8g")).encode()


def as_json(value: Any) -> Any:
    """Return values for JSON, which has no numbers that are not finite.

    Args:
        value: Text, a number, None, or mappings and sequences of these to any depth.

    Returns:
        The same, with None in place of NaN, and "infinite" or "-infinite" in place of infinity,
        such as the PSNR of a perfect image.

    Example:
        >>> as_json({"psnr_db": [30.0, float("inf")], "gain_db": float("nan")})
        {'psnr_db': [30.0, 'infinite'], 'gain_db': None}
    """
    if isinstance(value, Mapping):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else "infinite" if value > 0 else "-infinite"


def write_record(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record as JSON; see `as_json` for numbers that are not finite."""
    return write_bytes(path, record_bytes(record))


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """Return what `write_record` writes."""
    return (json.dumps(as_json(record), indent=2, allow_nan=False) + "\n").encode()


def write_maps(path: Path, maps: Mapping[str, Tensor]) -> Path:
    """Write named maps as a compressed NPZ."""
    arrays = {name: values.detach().cpu().numpy() for name, values in maps.items()}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return path


def read_table(
    path: Path, made_by: str, *, numbers: Iterable[str] = (), texts: Iterable[str] = ()
) -> pd.DataFrame:
    """Return a table that a command wrote, after checking its columns.

    Args:
        path: The CSV file.
        made_by: The command, for messages.
        numbers: Columns that must be there and hold numbers, or nothing.
        texts: Columns that must be there.

    Raises:
        InputError: There is no such file, or it is no such table.

    Example:
        >>> import tempfile
        >>> path = write_table(Path(tempfile.mkdtemp()) / "a.csv", pd.DataFrame({"seed": [0, 1]}))
        >>> read_table(path, "srlongtail ablate", numbers=["seed"])["seed"].tolist()
        [0, 1]
    """
    if not path.is_file():
        raise InputError(f"{path}: no such table, expected one of '{made_by}'")
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise InputError(f"{path}: not a CSV table: {error}") from error
    missing = [name for name in (*texts, *numbers) if name not in table]
    if missing or table.empty:
        raise InputError(
            f"{path}: without {', '.join(missing) or 'rows'}, expected a table of '{made_by}'"
        )
    for name in numbers:
        if not pd.api.types.is_numeric_dtype(table[name]):
            raise InputError(f"{path}: text in column {name}, expected numbers")
    return table


def read_record(path: Path) -> dict[str, Any]:
    """Return a record that was written as JSON.

    Raises:
        InputError: The file is no JSON, or not a table of values.

    Example:
        >>> import tempfile
        >>> read_record(write_record(Path(tempfile.mkdtemp()) / "a.json", {"seed": 0}))
        {'seed': 0}
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not a JSON file: {error}") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no names and values, expected a record")
    return record
