"""Write the result of a study: the picture, its data, and how both were made."""

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.files import write_bytes
from srlongtail.plots.style import paper_style
from srlongtail.results import record_bytes, table_bytes


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
    return write_files(stem, drawn(draw, result, record))


def drawn(
    draw: Callable[[Any], Figure], result: Result, record: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return the files of a result by their suffix; see `write_result`."""
    png, pdf = io.BytesIO(), io.BytesIO()
    with paper_style():
        figure = draw(result)
        figure.savefig(png, format="png", metadata={"Software": None})
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
    caption = f"{result.caption()} {record['training']}".strip()
    settings = {**record["settings"], **result.settings()}
    return {
        ".png": png.getvalue(),
        ".pdf": pdf.getvalue(),
        ".csv": table_bytes(result.frame()),
        ".json": record_bytes({"caption": caption, **record, "settings": settings}),
    }


def write_files(stem: Path, contents: Mapping[str, bytes]) -> Path:
    """Write the files of a result.

    Args:
        stem: Path of the files without their suffix.
        contents: See `drawn`.

    Returns:
        Path of the PNG file.
    """
    for suffix, content in contents.items():
        write_bytes(stem.with_suffix(suffix), content)
    return stem.with_suffix(".png")


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
