"""The window picker: choose a window of an image by mouse, touch or keyboard."""

from collections.abc import Callable
from typing import Any

import numpy as np
import traitlets
from PIL import Image, ImageDraw
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Window, check_window
from srlongtail.image.io import to_rgb8
from srlongtail.widgets.base import FOLDER, Widget, contact_sheet, data_uri
from srlongtail.widgets.viewer import WINDOW_COLOR


class WindowPicker(Widget):
    """Choose a window on an image: click, drag, arrow keys, or numbers.

    A click centers the window, a drag inside moves it, and a drag outside draws a new one. Arrow
    keys move it by a pixel, with Shift by eight; plus and minus change its size.

    Args:
        image: `(3, H, W)` in [0, 1], usually HR.
        window: Where the window is at first; default: 64 pixels in the middle.
        name: What the image is called.

    Attributes:
        window: The window chosen, `(row, column, size)` in the image's pixels.

    Raises:
        InputError: A window outside of the image.

    Example:
        >>> import torch
        >>> picker = WindowPicker(torch.rand(3, 96, 128))
        >>> picker.window
        (16, 32, 64)
        >>> picker.on_pick(print)
        >>> picker.window = (0, 8, 32)
        (0, 8, 32)
    """

    _esm = FOLDER / "picker.js"
    url = traitlets.Unicode().tag(sync=True)
    name = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int().tag(sync=True)
    width = traitlets.Int().tag(sync=True)
    window = traitlets.Tuple(traitlets.Int(), traitlets.Int(), traitlets.Int()).tag(sync=True)

    def __init__(self, image: Tensor, window: Window | None = None, name: str = "image") -> None:
        if image.ndim != 3 or image.shape[0] != 3:
            raise InputError(f"image of shape {tuple(image.shape)}, expected (3, H, W)")
        height, width = image.shape[-2:]
        if window is None:
            size = min(64, height, width)
            window = ((height - size) // 2, (width - size) // 2, size)
        self._pixels = to_rgb8(image)
        super().__init__(
            url=data_uri(self._pixels), name=name, height=height, width=width, window=window
        )

    @traitlets.validate("window")
    def _inside(self, proposal: Any) -> Window:
        check_window(tuple(proposal["value"]), self.height, self.width, self.name)
        return proposal["value"]

    def on_pick(self, callback: Callable[[Window], Any]) -> None:
        """Call a function with `(row, column, size)` whenever another window is chosen."""
        self.observe(lambda change: callback(change["new"]), "window")

    def picture(self) -> bytes:
        """Return a JPEG file of the image with the window."""
        row, column, size = self.window
        whole = Image.fromarray(self._pixels)
        box = (column, row, column + size - 1, row + size - 1)
        ImageDraw.Draw(whole).rectangle(box, outline=WINDOW_COLOR, width=2)
        return contact_sheet({f"{self.name}, window {self.window}": np.asarray(whole)})
