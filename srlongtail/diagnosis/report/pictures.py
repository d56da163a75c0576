"""The images of the viewer, lossless, and which of them a page of limited size can hold."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from srlongtail.geometry import Box
from srlongtail.image.io import to_rgb8
from srlongtail.longtail.tail import difficulty, tenth_of_pixels
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import bicubic
from srlongtail.studies.restored import RestoredImage

WHOLE = 4  # images that are shown whole before any other gets more than a crop
CROP_SIZES = (256, 192, 128, 96)  # SR pixels; smaller ones where all would not fit
_STEP = 8  # SR pixels between the places that a crop may have

Kind = Literal["hr", "bicubic", "network"]


@dataclass(frozen=True)
class Layer:
    """What one model made of what is shown, or HR: a lossless WebP file."""

    name: str
    kind: Kind
    webp: bytes


@dataclass(frozen=True)
class Pictures:
    """An image, or a crop of it, as HR and as all models restored it.

    Attributes:
        dataset, name: Of the image.
        scale: SR pixels per LR pixel.
        box: What is shown of the image, in SR pixels.
        height, width: Of the whole image.
        layers: HR, bicubic and the networks.
        tenth: Lossless WebP, gray: the tenth, 1 to 10, that each pixel is in by HR's gradient.
    """

    dataset: str
    name: str
    scale: int
    box: Box
    height: int
    width: int
    layers: tuple[Layer, ...]
    tenth: bytes

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return len(self.tenth) + sum(len(layer.webp) for layer in self.layers)

    @property
    def is_whole(self) -> bool:
        """Whether the whole image is shown."""
        return self.box.pixels == self.height * self.width

    def reduced(self, size: int) -> "Pictures":
        """Return the middle of what is shown, at most `size` SR pixels high and wide."""
        height, width = min(size, self.box.height), min(size, self.box.width)
        if (height, width) == (self.box.height, self.box.width):
            return self
        top, left = (self.box.height - height) // 2, (self.box.width - width) // 2

        def cut(webp: bytes) -> bytes:
            with Image.open(io.BytesIO(webp)) as image:
                return _encoded(np.asarray(image)[top : top + height, left : left + width])

        row, column = self.box.top + top, self.box.left + left
        box = Box(row, column, row + height, column + width)
        layers = tuple(replace(layer, webp=cut(layer.webp)) for layer in self.layers)
        return replace(self, box=box, layers=layers, tenth=cut(self.tenth))


@dataclass(frozen=True)
class _Entry:
    psnr: float
    crop: Pictures
    whole: Pictures | None

    @property
    def bytes(self) -> int:
        return self.whole.bytes if self.whole else 0


class Album:
    """Images for the viewer, from the hardest (by its mean PSNR over the networks) on.

    Args:
        network: Whose largest error a crop is centered on.
        budget: Bytes that whole images may have together. The easiest beyond the first four are
            dropped as soon as they have more, so that memory does not grow with the data set.
    """

    def __init__(self, network: str, budget: float = np.inf) -> None:
        self.network = network
        self.budget = budget
        self._entries: list[_Entry] = []

    def __add__(self, other: "Album") -> "Album":
        total = Album(self.network, self.budget)
        total._entries = self._entries + other._entries
        total._order()
        return total

    def __len__(self) -> int:
        return len(self._entries)

    def add(
        self, image: RestoredImage, models: Sequence[AnyModel], psnr: float, *, whole: bool = True
    ) -> None:
        """Add an image.

        Args:
            image: With what the models made of it.
            models: Bicubic, then the networks.
            psnr: In dB, by which images are ordered.
            whole: Keep the whole image, too, and not only a crop.
        """
        hr = image.pair.hr
        height, width = hr.shape[-2:]
        error = (image.sr(next(m for m in models if m.name == self.network)) - hr).square().mean(0)
        everything = Box(0, 0, height, width)
        box = _largest_mean(error, min(CROP_SIZES[0], height), min(CROP_SIZES[0], width))
        entry = _Entry(
            psnr,
            _pictures(image, models, box),
            _pictures(image, models, everything) if whole and box != everything else None,
        )
        self._entries.append(entry)
        self._order()

    def chosen(self, budget: float = np.inf) -> list[Pictures]:
        """Return what to show in so many bytes, the hardest image first.

        The four hardest images are shown whole, and of the others crops of 256 pixels. Where that
        is too much, crops are smaller, down to 96 pixels; then fewer images are whole; then the
        easiest are not shown. What is left of the budget shows more images whole.
        """
        entries = self._entries
        crops = {size: [entry.crop.reduced(size) for entry in entries] for size in CROP_SIZES[:1]}
        for whole in range(min(WHOLE, len(entries)), -1, -1):
            for size in CROP_SIZES:
                if size not in crops:
                    crops[size] = [entry.crop.reduced(size) for entry in entries]
                shown = [
                    entry.whole if entry.whole and order < whole else crop
                    for order, (entry, crop) in enumerate(zip(entries, crops[size], strict=True))
                ]
                total = sum(pictures.bytes for pictures in shown)
                if total <= budget:
                    for order, entry in enumerate(entries):
                        more = entry.bytes - shown[order].bytes
                        if entry.whole and shown[order] != entry.whole and total + more <= budget:
                            shown[order], total = entry.whole, total + more
                    return shown
        kept: list[Pictures] = []
        for pictures in shown:  # the smallest crops
            if sum(p.bytes for p in kept) + pictures.bytes <= budget:
                kept.append(pictures)
        return kept

    def _order(self) -> None:
        self._entries.sort(key=lambda e: (e.psnr, e.crop.dataset, e.crop.name))
        total = sum(entry.bytes for entry in self._entries)
        for order in range(len(self._entries) - 1, WHOLE - 1, -1):
            entry = self._entries[order]
            if total > self.budget:
                total -= entry.bytes
                self._entries[order] = replace(entry, whole=None)


def _pictures(image: RestoredImage, models: Sequence[AnyModel], box: Box) -> Pictures:
    pair = image.pair
    tenths = tenth_of_pixels(difficulty(pair.hr, image.sr(bicubic(pair.scale)))).cpu()
    layers = [Layer("HR", "hr", webp(box.cut(pair.hr)))]
    for model in models:
        kind: Kind = "bicubic" if model.name == "bicubic" else "network"
        layers.append(Layer(model.name, kind, webp(box.cut(image.sr(model)))))
    tenth = _encoded(box.cut(tenths).numpy())
    height, width = pair.hr.shape[-2:]
    name = pair.dataset, pair.name, pair.scale
    return Pictures(*name, box, height, width, tuple(layers), tenth)


def _largest_mean(values: Tensor, height: int, width: int) -> Box:
    """Return the box of this size where a map `(H, W)` has the largest mean."""
    means = F.avg_pool2d(values[None, None], (height, width), _STEP)[0, 0]
    row, column = divmod(int(means.argmax()), means.shape[1])
    return Box(row * _STEP, column * _STEP, row * _STEP + height, column * _STEP + width)


def webp(image: Tensor) -> bytes:
    """Return an RGB image `(3, H, W)` as a lossless WebP file of 8 bits."""
    return _encoded(to_rgb8(image))


def _encoded(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", lossless=True, method=4)
    return file.getvalue()
