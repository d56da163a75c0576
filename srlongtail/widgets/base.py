"""What all widgets share: script and style, a static picture, and output that follows them."""

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from srlongtail.errors import InputError

try:
    import anywidget
    import ipywidgets
except ImportError as error:
    raise InputError(
        "widgets need the packages of the extra 'notebooks': pip install 'srlongtail[notebooks]'"
    ) from error

FOLDER = Path(__file__).parent
_SHEET_PX = 900  # largest width of a static picture
_ENLARGED = 4  # how many times small patches are enlarged in it, at most

Pixels = NDArray[np.uint8]


class Widget(anywidget.AnyWidget):
    """A widget with the shared style; where no script runs, a static picture stands for it."""

    _css = FOLDER / "style.css"
    picture_type = "image/jpeg"  # a notebook's outputs stay small

    def picture(self) -> bytes:
        """Return an image file, of the type `picture_type`, of what the widget shows."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**options) or ({}, {})
        return {**data, **self._picture_data()}, metadata

    def _picture_data(self) -> dict[str, str]:
        return {self.picture_type: base64.b64encode(self.picture()).decode()}

    def follow(self, name: str, show: Callable[[Any], Any]) -> ipywidgets.VBox:
        """Return the widget with an output below it that follows one of its values.

        Args:
            name: The value.
            show: Is called with the value, at once and after every change. What it returns or
                prints is displayed; an error is, too.
        """
        output = ipywidgets.Output()

        def update(value: Any) -> None:
            with output:
                output.clear_output(wait=True)
                shown = show(value)
                if shown is not None:
                    display_once(shown)

        update(getattr(self, name))
        self.observe(lambda change: update(getattr(self, name)), name)
        return _Followed([self, output])


class _Followed(ipywidgets.VBox):
    """A widget above the output that follows it, with the widget's static picture."""

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        return {**super()._repr_mimebundle_(**options), **self.children[0]._picture_data()}


def display_once(shown: Any) -> None:
    """Display something; a figure is closed, so that pyplot does not display it a second time."""
    from IPython.display import display
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    display(shown)
    if isinstance(shown, Figure):
        pyplot.close(shown)


def data_uri(pixels: Pixels) -> str:
    """Return 8-bit gray `(H, W)` or RGB `(H, W, 3)` pixels as a lossless data: URI.

    Example:
        >>> data_uri(np.zeros((2, 2), np.uint8))[:22]
        'data:image/webp;base64'
    """
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=2)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def contact_sheet(images: Mapping[str, Pixels]) -> bytes:
    """Return a JPEG file of named images in a row, reduced or enlarged to a good width.

    Example:
        >>> black = np.zeros((8, 6), np.uint8)
        >>> sheet = contact_sheet({"a": black, "b": black})
        >>> Image.open(io.BytesIO(sheet)).size
        (52, 46)
    """
    pictures = [Image.fromarray(pixels).convert("RGB") for pixels in images.values()]
    gap, line = 4, 14
    room = _SHEET_PX - gap * (len(pictures) - 1)
    share = room / sum(picture.width for picture in pictures)
    share = min(share, 1) if share < 2 else min(share // 1, _ENLARGED)  # whole pixels
    sizes = [(max(1, round(p.width * share)), max(1, round(p.height * share))) for p in pictures]
    width = sum(w for w, _ in sizes) + gap * (len(sizes) - 1)
    sheet = Image.new("RGB", (width, line + max(h for _, h in sizes)), "white")
    left = 0
    for name, picture, size in zip(images, pictures, sizes, strict=True):
        label = Image.new("RGB", (size[0], line), "white")
        ImageDraw.Draw(label).text((0, 0), name, fill="black")
        sheet.paste(label, (left, 0))
        how = Image.Resampling.LANCZOS if share < 1 else Image.Resampling.NEAREST
        sheet.paste(picture.resize(size, how), (left, line))
        left += size[0] + gap
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=88)
    return file.getvalue()
