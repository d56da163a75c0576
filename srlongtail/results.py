"""Write results to files atomically: tables as CSV, records as JSON, maps as NPZ."""

import json
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


def write_record(path: Path, record: Mapping[str, Any]) -> Path:
    """Write a record as JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n")
    return path


def write_maps(path: Path, maps: Mapping[str, Tensor]) -> Path:
    """Write named maps as a compressed NPZ."""
    arrays = {name: values.detach().cpu().numpy() for name, values in maps.items()}
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return path
