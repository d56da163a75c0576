"""Write what a study found: picture, data drawn, and how both were made."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.files import replacing
from srlongtail.plots.style import paper_style
from srlongtail.results import write_record, write_table


class Result(Protocol):
    """What a study's `compute` gives; its settings, as JSON takes them, are what it chose."""

    def frame(self) -> pd.DataFrame: ...
    def caption(self) -> str: ...
    def settings(self) -> dict[str, Any]: ...


def write_result(
    stem: Path, draw: Callable[[Any], Figure], result: Result, record: Mapping[str, Any]
) -> Path:
    """Draw a result and write `stem` as `.png`, `.pdf`, `.csv` and `.json`; returns the PNG's path.

    The record's settings take in the result's own. The pictures hold no date, so that the same
    result gives the same bytes.
    """
    png = stem.with_suffix(".png")
    with paper_style():
        figure = draw(result)
        with replacing(png) as path:
            figure.savefig(path, metadata={"Software": None})
        with replacing(stem.with_suffix(".pdf")) as path:
            figure.savefig(path, metadata={"CreationDate": None})
    write_table(stem.with_suffix(".csv"), result.frame())
    caption = f"{result.caption()} {record['training']}".strip()
    settings = {**record["settings"], **result.settings()}
    write_record(stem.with_suffix(".json"), {"caption": caption, **record, "settings": settings})
    return png
