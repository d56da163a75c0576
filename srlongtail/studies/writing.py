"""Write the result of a study: the picture, its data, and how both were made."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.files import replacing
from srlongtail.plots.style import paper_style
from srlongtail.results import write_record, write_table


class Result(Protocol):
    """The result of a study's `compute`; its settings are JSON values."""

    def frame(self) -> pd.DataFrame: ...
    def caption(self) -> str: ...
    def settings(self) -> dict[str, Any]: ...


def write_result(
    stem: Path, draw: Callable[[Any], Figure], result: Result, record: Mapping[str, Any]
) -> Path:
    """Draw a result, and write it as `.png`, `.pdf`, `.csv` and `.json`.

    The pictures hold no date, so equal results give equal bytes.

    Args:
        stem: Path of the files without their suffix.
        draw: Returns the figure of a result.
        result: The result.
        record: Provenance; the result's own settings are added to its settings.

    Returns:
        Path of the PNG file.
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


def counted(number: int, what: str) -> str:
    """Return a number of things, in the plural unless there is one.

    Example:
        >>> counted(1, "image"), counted(3, "image")
        ('1 image', '3 images')
    """
    return f"{number} {what}{'s' * (number != 1)}"


def listed(items: Sequence[str]) -> str:
    """Return items with commas and an "and".

    Example:
        >>> listed(["a", "b", "c"])
        'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
