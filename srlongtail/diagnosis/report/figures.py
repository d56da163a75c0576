"""Figures of studies for a page: inline SVG with its finding as text, and its data as CSV."""

import base64
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import pandas as pd
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from PIL import Image

from srlongtail.plots.style import paper_style

_DPI = 200  # of photos and maps inside a figure


@dataclass(frozen=True)
class DataLink:
    """A table to download from the page.

    Attributes:
        file: Its name.
        href: A data: URI that holds it.
        rows: Their number.
    """

    file: str
    href: str
    rows: int


@dataclass(frozen=True)
class Plot:
    """A figure of the page.

    Attributes:
        id: For links to it.
        svg: The drawing, with the finding as its name for screen readers.
        caption: What it shows.
        data: The numbers drawn.
        photo: It shows photos or maps, so that it keeps a light ground on a dark page.
    """

    id: str
    svg: Markup
    caption: str
    data: DataLink
    photo: bool = False


def data_uri(content: bytes, kind: str) -> str:
    """Return a data: URI.

    >>> data_uri(b"a", "text/csv")
    'data:text/csv;base64,YQ=='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def data_link(file: str, table: pd.DataFrame) -> DataLink:
    """Return a table as CSV with seven significant digits."""
    csv = table.to_csv(index=False, float_format="%.7g").encode()
    return DataLink(file, data_uri(csv, "text/csv;charset=utf-8"), len(table))


def plot(
    id: str,
    draw: Callable[[Any], Figure],
    result: Any,
    finding: str,
    *,
    caption: str | None = None,
    photo: bool = False,
) -> Plot:
    """Draw a study's result.

    Args:
        id: Of the figure, unique in the page.
        draw: The study's `draw`.
        result: What its `compute` returned.
        finding: What the figure shows, for those who do not see it.
        caption: Default: the result's own.
        photo: See `Plot`.
    """
    with paper_style(), mpl.rc_context({"svg.hashsalt": id, "svg.fonttype": "path"}):
        figure = draw(result)
        file = io.StringIO()
        figure.savefig(
            file, format="svg", dpi=_DPI, transparent=True, metadata={"Date": None, "Creator": None}
        )
    svg = _inlined(file.getvalue(), id, finding, themed=not photo)
    text = result.caption() if caption is None else caption
    return Plot(id, svg, text, data_link(f"{id}.csv", result.frame()), photo)


def _inlined(svg: str, id: str, finding: str, *, themed: bool) -> Markup:
    """Return an SVG file as a part of a page: its names made unique, its images made small."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{id}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{id}-", svg)
    svg = re.sub(r'<svg [^>]*?viewBox="([^"]+)"[^>]*>', r'<svg viewBox="\1">', svg, count=1)
    svg = re.sub(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", _as_webp, svg)
    if themed:
        svg = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", _themed, svg)
    name = f'<svg role="img" aria-label="{escape(finding)}" xmlns="http://www.w3.org/2000/svg" '
    return Markup(name + svg.removeprefix("<svg "))


def _as_webp(match: re.Match[str]) -> str:
    """Return an embedded PNG as lossless WebP, a third smaller."""
    content = base64.b64decode(match[1])
    with Image.open(io.BytesIO(content)) as image:
        file = io.BytesIO()
        image.save(file, "WEBP", lossless=True, method=4)
    return data_uri(file.getvalue(), "image/webp")


def _themed(match: re.Match[str]) -> str:
    """Return the color of a line or area, with that of a dark page where it is gray.

    White stays, and so do the dark gray of numbers on a heat map and bicubic's gray, which stand
    for themselves on either ground.
    """
    what, color = match.groups()
    if len({color[1:3], color[3:5], color[5:7]}) > 1 or color in ("#ffffff", "#262626", "#8e8e8e"):
        return match[0]
    ink = 100 - round(int(color[1:3], 16) / 2.55)
    return f"{match[0]}; {what}: color-mix(in srgb, currentColor {ink}%, var(--paper))"
