"""Read and write images as float tensors `(3, H, W)` in [0, 1]."""

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import png
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.files import replacing

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_EXIF_ORIENTATION = 0x0112
# How to turn the stored rows and columns into the picture meant (EXIF 2.3, tag 0x0112).
_UPRIGHT: dict[int, Callable[[NDArray], NDArray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}


def quantize(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to the 256 levels of an 8-bit image.

    Halves are rounded up, as MATLAB does, not to even. The dtype is kept.

    >>> quantize(torch.tensor([-0.2, 0.5 / 255, 0.7, 3.0])) * 255
    tensor([  0.,   1., 179., 255.])
    """
    return image.clamp(0, 1).mul(255).add(0.5).floor().div(255)


def read_image(path: str | os.PathLike[str]) -> Tensor:
    """Read an image file as RGB, float32 `(3, H, W)` in [0, 1].

    PNG and TIFF of 8 or 16 bits a channel, JPEG, BMP and WebP. Grey becomes RGB, transparency
    is laid over white (with a warning), and the EXIF orientation is applied.

    Raises:
        InputError: the file is missing, no image, damaged, or of a kind not listed above.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected an image")
    try:
        array, orientation = _decode(path)
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: not an image in a known format, expected one of {', '.join(SUFFIXES)}"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, png.Error) as error:
        raise InputError(f"{path}: damaged or unreadable image: {error}") from error
    array = _UPRIGHT.get(orientation, lambda a: a)(array)
    return image_from_array(array, name=str(path))


def image_from_array(array: NDArray, *, name: str = "array") -> Tensor:
    """Turn an integer array `(H, W)` or `(H, W, 1..4)` into an image tensor `(3, H, W)`.

    8- and 16-bit unsigned integers are scaled by their full range; two and four channels are
    grey and RGB with transparency, laid over white with a warning that calls the image `name`.

    >>> image_from_array(np.full((2, 2), 255, np.uint8)).shape
    torch.Size([3, 2, 2])
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: {array.dtype} pixels, expected 8 or 16 bit unsigned integers")
    channels = array if array.ndim == 3 else array[..., None]
    if channels.ndim != 3 or not 1 <= channels.shape[2] <= 4:
        raise InputError(f"{name}: shape {array.shape}, expected (H, W) or (H, W, 1 to 4)")
    pixels = channels.astype(np.float64) / np.iinfo(array.dtype).max
    if channels.shape[2] in (2, 4):
        pixels, alpha = pixels[..., :-1], pixels[..., -1:]
        if alpha.min() < 1:
            warnings.warn(f"{name}: transparency laid over white", stacklevel=2)
        pixels = pixels * alpha + (1 - alpha)
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3)).transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32))


def write_image(path: str | os.PathLike[str], image: Tensor, *, bits: int = 8) -> None:
    """Write an image `(3, H, W)` in [0, 1]; values outside are clamped.

    The suffix chooses the format (see `SUFFIXES`); `bits` is 8 or, for PNG and TIFF, 16.
    The file appears whole or not at all.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: cannot write {suffix or 'a file without suffix'}, "
            f"expected one of {', '.join(SUFFIXES)}"
        )
    if bits not in (8, 16) or (bits == 16 and suffix not in (".png", ".tif", ".tiff")):
        raise InputError(f"{path}: {bits} bits, expected 8, or 16 for PNG and TIFF")
    if image.dim() != 3 or image.shape[0] != 3:
        raise InputError(f"{path}: image of shape {tuple(image.shape)}, expected (3, H, W)")
    levels = 2**bits - 1
    rounded = image.detach().cpu().double().clamp(0, 1).mul(levels).add(0.5).floor()
    array = rounded.permute(1, 2, 0).numpy().astype(np.uint16 if bits == 16 else np.uint8)
    with replacing(path) as temporary:
        if bits == 16 and suffix == ".png":
            png.from_array(array.reshape(len(array), -1), "RGB;16").save(temporary)
        elif bits == 16:
            tifffile.imwrite(temporary, array, photometric="rgb")
        else:
            # `quality` is JPEG's, `lossless` WebP's; the other formats ignore both.
            Image.fromarray(array).save(temporary, quality=95, lossless=True)


def _decode(path: Path) -> tuple[NDArray, int]:
    """The stored pixels and the EXIF orientation."""
    with Image.open(path) as image:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
        array = _decode_deep_colour(path, image.format)
        if array is None:
            array = _decode_with_pillow(image)
    return array, orientation


def _decode_with_pillow(image: Image.Image) -> NDArray:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("more than 16 bits a pixel")
        return levels.astype(np.uint16)
    if image.mode == "F":
        raise ValueError("floating point pixels; 8 or 16 bit integers are expected")
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return np.asarray(image)
    return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))


def _decode_deep_colour(path: Path, format_name: str | None) -> NDArray | None:
    """Pixels of a 16-bit file of several channels, which Pillow would reduce to 8 bits."""
    if format_name == "PNG":
        reader = png.Reader(filename=str(path))
        reader.preamble()
        if reader.bitdepth == 16 and reader.planes > 1:
            width, height, rows, info = reader.read()
            pixels = np.vstack([np.asarray(row, np.uint16) for row in rows])
            return pixels.reshape(height, width, info["planes"])
    if format_name == "TIFF":
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            if page.bitspersample == 16 and page.samplesperpixel > 1:
                array = page.asarray()
                return array.transpose(1, 2, 0) if page.axes == "SYX" else array
    return None
