"""Training images as bytes on the training device, and random patches cut from them there."""

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.dataset import MOD_CROP, ImagePair, make_pair
from srlongtail.image.degrade import Degradation, named_degradation
from srlongtail.image.io import quantize, read_image
from srlongtail.image.resample import imresize
from srlongtail.training.images import TrainingImage, choose_images, describe, find_images
from srlongtail.training.recipe import Recipe

_TURNS = 8  # the symmetries of a square: four quarter turns, mirrored or not


class PatchBank:
    """HR and LR images as uint8 in one flat buffer each, and patches cut from them in a batch.

    Every position of every image is equally likely, and so is each of the 8 flips and quarter
    turns. No worker processes, no decoding, no copies between host and device.

    Args:
        pairs: The images; those smaller than a patch are left out.
        patch: Side of a patch in LR pixels.
        device: Where to keep the buffers; they stay on the host, with a warning, where they do
            not fit.
        source: What the images are, for the provenance of what is trained on them; JSON values.

    Raises:
        InputError: No image is as large as a patch.

    Example:
        >>> image = torch.rand(3, 48, 48)
        >>> bank = PatchBank([make_pair(image, named_degradation("bicubic", 4))], patch=8)
        >>> lr, hr = bank.cut(bank.draw(16, torch.Generator().manual_seed(0)))
        >>> lr.shape, hr.shape
        (torch.Size([16, 3, 8, 8]), torch.Size([16, 3, 32, 32]))
    """

    def __init__(
        self,
        pairs: Iterable[ImagePair],
        patch: int = 32,
        device: torch.device | str = "cpu",
        source: dict[str, Any] | None = None,
    ) -> None:
        hr, lr, sizes = [], [], []
        small = 0
        for pair in pairs:
            if min(pair.lr.shape[-2:]) < patch:
                small += 1
                continue
            self.scale = pair.scale
            hr.append(_pixels(pair.hr))
            lr.append(_pixels(pair.lr))
            sizes.append(pair.lr.shape[-2:])
        if not sizes:
            raise InputError(
                f"none of {small} training images has {patch} LR pixels a side, expected larger "
                f"images, or a smaller patch in the recipe"
            )
        if small:
            warnings.warn(f"{small} images smaller than a patch left out", stacklevel=2)
        self.patch = patch
        self.images = len(sizes)
        self.source = source or {}
        self.device = _roomy(torch.device(device), sum(part.numel() for part in hr + lr))
        self._hr = _joined(hr, self.device)
        self._lr = _joined(lr, self.device)

        heights, widths = torch.tensor(sizes, device=self.device).T
        self._widths = widths
        self._columns = widths - patch + 1
        self._first_pixel = (heights * widths).cumsum(0) - heights * widths
        positions = (heights - patch + 1) * self._columns
        self._end = positions.cumsum(0)
        self._start = self._end - positions
        self.positions = int(self._end[-1])

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device | str = "cpu") -> "PatchBank":
        """Read a recipe's training images and make their LR images, once.

        Progress goes to stderr, if that is a terminal.
        """
        images = choose_images(
            find_images(recipe.data), recipe.half, recipe.images, recipe.hold_out
        )
        degradation = named_degradation(recipe.degradation, recipe.scale)

        def read(image: TrainingImage) -> list[ImagePair]:
            return _pyramid(read_image(image.path), image.name, degradation, recipe.pyramid)

        with ThreadPoolExecutor() as pool:
            bar = tqdm(pool.map(read, images), "images", len(images), disable=None, leave=False)
            pairs = (pair for several in bar for pair in several)
            return cls(pairs, recipe.patch, device, describe(images))

    def check(self, recipe: Recipe) -> None:
        """Refuse a recipe that wants other patches.

        Raises:
            InputError: Its scale or patch size is another.
        """
        here, wanted = (self.scale, self.patch), (recipe.scale, recipe.patch)
        if here != wanted:
            raise InputError(
                f"{recipe.name}: training patches of scale and size {here}, expected {wanted}"
            )

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw places to cut at, `(count, 2)`: a position among all images', and a turn.

        Args:
            generator: On the bank's device.
        """

        def draw(number: int) -> Tensor:
            return torch.randint(number, (count,), generator=generator, device=self.device)

        return torch.stack((draw(self.positions), draw(_TURNS)), dim=1)

    def cut(
        self, places: Tensor, device: torch.device | str | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the patches at places `(N, 2)`: LR `(N, 3, patch, patch)` and HR, in [0, 1].

        Args:
            device: Where the patches are wanted; the bank's own unless given.
        """
        position, turn = places.T.contiguous()
        image = torch.searchsorted(self._end, position, right=True)
        position = position - self._start[image]
        row = position // self._columns[image]
        column = position % self._columns[image]
        first, width, scale = self._first_pixel[image], self._widths[image], self.scale
        lr = _gather(self._lr, first, width, row, column, turn, self.patch)
        hr = _gather(
            self._hr,
            first * scale**2,
            width * scale,
            row * scale,
            column * scale,
            turn,
            self.patch * scale,
        )
        return _as_images(lr, device), _as_images(hr, device)


class SharedBank:
    """The bank of the last run, for the next one if that needs the same patches."""

    def __init__(self) -> None:
        self._key: object = None
        self._bank: PatchBank | None = None

    def of(self, recipe: Recipe, device: torch.device | str = "cpu") -> PatchBank:
        """Return the bank of a recipe."""
        r = recipe
        chosen = (r.data, r.half, r.images, r.hold_out)
        key = (*chosen, r.scale, r.degradation, r.pyramid, r.patch, str(device))
        if self._bank is None or key != self._key:
            self._bank = None  # gives its memory back before the next one takes some
            self._bank, self._key = PatchBank.of(recipe, device), key
        return self._bank


def _gather(
    pixels: Tensor,
    first: Tensor,
    width: Tensor,
    row: Tensor,
    column: Tensor,
    turn: Tensor,
    size: int,
) -> Tensor:
    """Return turned squares `(N, size, size, 3)` of flat pixels `(P, 3)`.

    A turn chooses the corner that the square is read from and the two directions to go in: its
    first bit mirrors the rows, its second the columns, its third exchanges them.
    """
    up, left, swap = (turn.bitwise_and(bit).bool() for bit in (1, 2, 4))
    corner = first + (row + up * (size - 1)) * width + column + left * (size - 1)
    vertical = torch.where(up, -width, width)
    horizontal = torch.where(left, -1, 1)
    down = torch.where(swap, horizontal, vertical)[:, None, None]
    across = torch.where(swap, vertical, horizontal)[:, None, None]
    side = torch.arange(size, device=pixels.device)
    index = corner[:, None, None] + side[:, None] * down + side * across
    return pixels.index_select(0, index.flatten()).view(*index.shape, 3)


def _as_images(squares: Tensor, device: torch.device | str | None) -> Tensor:
    """Return bytes `(N, size, size, 3)` as floats `(N, 3, size, size)`, channels last in memory."""
    target = torch.device(device or squares.device)
    # What the host is to read must have arrived; a GPU's own operations keep their order.
    return squares.to(target, non_blocking=target.type != "cpu").permute(0, 3, 1, 2) / 255


def _pyramid(
    hr: Tensor, name: str, degradation: Degradation, sizes: Sequence[float]
) -> list[ImagePair]:
    """Return pairs of the image at every size; sizes too small for a pair are left out."""
    pairs = []
    for size in sizes:
        scaled = hr if size == 1 else quantize(imresize(hr, size))
        if min(scaled.shape[-2:]) >= max(MOD_CROP, degradation.scale):
            pair = make_pair(scaled, degradation, f"{name}@{size:g}")
            # As bytes from here on: there may be thousands of them.
            pairs.append(replace(pair, hr=_in_bytes(pair.hr), lr=_in_bytes(pair.lr)))
    return pairs


def _in_bytes(image: Tensor) -> Tensor:
    return image if image.dtype == torch.uint8 else image.mul(255).round().to(torch.uint8)


def _pixels(image: Tensor) -> Tensor:
    """Return an image `(3, H, W)` on 256 levels, floats or bytes, as bytes `(H * W, 3)`."""
    return _in_bytes(image).permute(1, 2, 0).reshape(-1, 3)


def _joined(parts: list[Tensor], device: torch.device) -> Tensor:
    """One buffer `(P, 3)` of all parts, which are used up, so that memory never holds both."""
    buffer = torch.empty(sum(len(part) for part in parts), 3, dtype=torch.uint8, device=device)
    start = 0
    parts.reverse()
    while parts:
        part = parts.pop()
        buffer[start : start + len(part)] = part
        start += len(part)
    return buffer


def _roomy(device: torch.device, size: int) -> torch.device:
    """The device, or the host where half of the device's free memory is less than `size` bytes."""
    if device.type != "cuda":
        return device
    free = torch.cuda.mem_get_info(device)[0]
    if size <= free / 2:
        return device
    warnings.warn(
        f"training images of {size / 1e9:.1f} GB beside {free / 1e9:.1f} GB free on {device}: "
        f"they stay in host memory, which makes iterations slower",
        stacklevel=3,
    )
    return torch.device("cpu")
