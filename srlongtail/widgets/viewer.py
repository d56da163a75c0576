"""The comparison viewer: HR and its restored versions, pixel by pixel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import traitlets
from PIL import Image, ImageDraw
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.geometry import Window, check_window
from srlongtail.image.dataset import ImagePair
from srlongtail.image.io import to_rgb8
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.restorers import PairRestorer, Restorer, restorers_by_name
from srlongtail.longtail.tail import gradient_magnitude, tenth_of_pixels
from srlongtail.widgets.base import FOLDER, Pixels, Widget, contact_sheet, data_uri

WINDOW_COLOR = "#d55e00"


class ComparisonViewer(Widget):
    """Compare what models make of images: toggle, swipe, side by side, AD maps, pixel values.

    Every image is sent to the browser whole and lossless, once for HR, bicubic and each model:
    about 2 MB for 512 x 512 pixels and three models.

    Args:
        models: As `restorers_by_name` takes them; bicubic is shown in any case.
        pairs: One image or more.
        windows: Windows to mark in an image, by the image's name.

    Attributes:
        index: The image shown, from 0.
        window: The window zoomed to, `{"row", "column", "size"}` in SR pixels, or None.

    Raises:
        InputError: No image, or a window that is not of an image.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> double = {"nearest": lambda lr: lr.repeat_interleave(4, -1).repeat_interleave(4, -2)}
        >>> viewer = ComparisonViewer(double, photos(4)[1:2], windows={"chelsea": [(40, 80, 64)]})
        >>> [layer["name"] for layer in viewer.images[0]["layers"]]
        ['HR', 'bicubic', 'nearest']
    """

    _esm = FOLDER / "viewer.js"
    images: Any = traitlets.List().tag(sync=True)
    index = traitlets.Int(0).tag(sync=True)
    window = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)

    def __init__(
        self,
        models: Mapping[str, Restorer] | Sequence[Restorer],
        pairs: ImagePair | Sequence[ImagePair],
        windows: Mapping[str, Sequence[Window]] | None = None,
    ) -> None:
        restorers = restorers_by_name(models)
        self._pairs = [pairs] if isinstance(pairs, ImagePair) else list(pairs)
        windows = windows or {}
        unknown = set(windows) - {pair.name for pair in self._pairs}
        if not self._pairs or unknown:
            what = f"windows of {min(unknown)}" if unknown else "pairs: none"
            known = ", ".join(pair.name for pair in self._pairs) or "one image or more"
            raise InputError(f"{what}, expected {known}")
        self._pictures: list[dict[str, Pixels]] = []
        images = []
        for pair in self._pairs:
            layers = _layers(pair, restorers)
            self._pictures.append(layers)
            images.append(_facts(pair, layers, windows.get(pair.name, ())))
        super().__init__(images=images)

    def picture(self) -> bytes:
        """Return a JPEG file of the image shown: HR and all restored versions, in a row."""
        layers = dict(self._pictures[self.index])
        whole = Image.fromarray(layers["HR"])
        draw = ImageDraw.Draw(whole)
        for place in self.images[self.index]["windows"]:
            box = (place["column"], place["row"])
            end = (box[0] + place["size"] - 1, box[1] + place["size"] - 1)
            draw.rectangle((box, end), outline=WINDOW_COLOR, width=2)
        layers["HR"] = np.asarray(whole)
        return contact_sheet(layers)


def _layers(pair: ImagePair, restorers: Mapping[str, PairRestorer]) -> dict[str, Pixels]:
    enlarged = upsample_bicubic(pair.lr[None], pair.scale)[0]
    layers = {"HR": to_rgb8(pair.hr), "bicubic": to_rgb8(enlarged)}
    for name, restore in restorers.items():
        if name == "bicubic":
            continue
        sr: Tensor = restore(pair)
        if sr.shape != pair.hr.shape:
            raise InputError(
                f"{name}: SR of {tuple(sr.shape)} for {pair.name}, expected {tuple(pair.hr.shape)}"
            )
        layers[name] = to_rgb8(sr)
    return layers


def _facts(
    pair: ImagePair, layers: Mapping[str, Pixels], windows: Sequence[Window]
) -> dict[str, Any]:
    height, width = pair.hr.shape[-2:]
    for window in windows:
        check_window(window, height, width, pair.name)
    tenth = tenth_of_pixels(gradient_magnitude(pair.hr)).cpu().numpy()
    return {
        "name": pair.name,
        "dataset": pair.dataset,
        "height": height,
        "width": width,
        "row": 0,
        "column": 0,
        "scale": pair.scale,
        "layers": [
            {
                "name": name,
                "kind": {"HR": "hr", "bicubic": "bicubic"}.get(name, "network"),
                "url": data_uri(pixels),
            }
            for name, pixels in layers.items()
        ],
        "tenth": data_uri(tenth),
        "windows": [
            {"label": f"window {number}", "row": row, "column": column, "size": size}
            for number, (row, column, size) in enumerate(windows, start=1)
        ],
    }
