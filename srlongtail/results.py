"""Write results to files atomically: tables as CSV, records as JSON, maps as NPZ."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from srlongtail.files import replacing


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV with eight significant digits."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.8g")
    return path


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
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(as_json(record), indent=2, allow_nan=False) + "\n")
    return path


def write_maps(path: Path, maps: Mapping[str, Tensor]) -> Path:
    """Write named maps as a compressed NPZ."""
    arrays = {name: values.detach().cpu().numpy() for name, values in maps.items()}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return path
