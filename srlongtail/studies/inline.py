"""Show in a notebook what a study found."""

import io
from collections.abc import Callable
from typing import TypeVar

from matplotlib.figure import Figure

from srlongtail.plots.style import paper_style

_DPI = 120

T = TypeVar("T")


def show(draw: Callable[[T], Figure], result: T) -> None:
    """Display a result as a picture in a notebook, in the style of the paper's figures.

    Args:
        draw: The `draw` of the study.
        result: What its `compute` returned.
    """
    from IPython.display import Image, display

    with paper_style():
        picture = io.BytesIO()
        draw(result).savefig(picture, format="png", dpi=_DPI)
    display(Image(picture.getvalue()))
