"""Decode image files to stored pixels, before anything is scaled or converted."""

import itertools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import png
import tifffile
from numpy.typing import NDArray
from PIL import Image

from srlongtail.errors import InputError

EXIF_ORIENTATION = 0x0112
# How to turn the stored rows and columns upright (EXIF 2.3, tag 0x0112).
_UPRIGHT: dict[int, Callable[[NDArray], NDArray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[::-1],
}
SIDEWAYS = (5, 6, 7, 8)

# TIFF's tag ExtraSamples: which of the samples beyond the colors are transparency.
_ALPHA: dict[int, Literal["straight", "premultiplied"]] = {1: "premultiplied", 2: "straight"}

# The formats that Pillow may decode: for some others it starts programs (EPS), or sends pixels to
# decoders that few people use and check.
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

_OTHER_FILES = {
    b"%!PS": "a PostScript program, not an image",
    b"GIF8": "GIF is not supported",
    b"\0\0\0\x0cjP": "JPEG 2000 is not supported",
    b"\xff\x4f\xff\x51": "JPEG 2000 is not supported",
    b"\xff\x0a": "JPEG XL is not supported",
    b"\0\0\0\x0cJXL": "JPEG XL is not supported",
    b"v/1\x01": "OpenEXR is not supported",
    b"#?RADIANCE": "Radiance HDR is not supported",
    b"8BPS": "Photoshop's PSD is not supported",
    b"\x93NUMPY": "a NumPy array, not an image",
    b"\x89HDF": "an HDF5 file, not an image",
    b"MATLAB 5.0": "a MATLAB file, not an image",
    b"PK\x03\x04": "a ZIP archive, not an image",
    b"%PDF": "a PDF document, not an image",
    b"\0\5\x16\7": "a file of macOS beside an image, not an image",
    b"version https://git-lfs": "a Git LFS pointer (git lfs pull fetches the image)",
}


@dataclass(frozen=True)
class Pixels:
    """Stored pixels, the right way up.

    Attributes:
        array: `(H, W, C)`.
        alpha: Kind of transparency in the last channel; None if it is a color.
    """

    array: NDArray
    alpha: Literal["straight", "premultiplied"] | None = None


def describe_file(path: Path) -> str:
    """Describe a file that is not an image we read, by its first bytes."""
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return "an empty file"
    if start[4:8] == b"ftyp":
        return f"{start[8:12].decode('ascii', 'replace').strip()} (HEIF family) is not supported"
    lowered = start.lstrip().lower()
    if lowered.startswith((b"<!doctype html", b"<html")):
        return "an HTML page, not an image"
    for magic, what in _OTHER_FILES.items():
        if start.startswith(magic):
            return what
    return "not an image in a known format"


def decode(path: Path) -> Pixels:
    """Return the stored pixels, the right way up.

    Raises:
        InputError: The file holds several images, or channels that are not colors.
        OSError, ValueError, SyntaxError: The file is damaged or not an image.
    """
    tiff = _decode_tiff(path) if is_tiff(path) else None
    if tiff is not None:
        pixels, orientation = tiff
    else:
        with Image.open(path, formats=FORMATS) as image:
            check_size(*image.size)
            orientation = image.getexif().get(EXIF_ORIENTATION, 1)
            deep = _decode_deep_png(path) if image.format == "PNG" else None
            pixels = _decode_with_pillow(image) if deep is None else deep
    return replace(pixels, array=_UPRIGHT.get(orientation, lambda a: a)(pixels.array))


def check_size(width: int, height: int) -> None:
    """Raise a `ValueError` for an image that claims more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.

    A file of a few kilobytes can claim any number, and decoding would use up the memory.
    """
    most = Image.MAX_IMAGE_PIXELS
    if most is not None and width * height > most:
        raise ValueError(
            f"{width} x {height} pixels, expected at most {most} (PIL.Image.MAX_IMAGE_PIXELS)"
        )


def _decode_with_pillow(image: Image.Image) -> Pixels:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("more than 16 bits a pixel")
        return Pixels(levels.astype(np.uint16)[..., None])
    if image.mode == "F":
        return Pixels(np.asarray(image)[..., None])
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    array = np.asarray(image)
    return Pixels(
        array if array.ndim == 3 else array[..., None],
        "straight" if image.mode in ("LA", "RGBA") else None,
    )


def _decode_deep_png(path: Path) -> Pixels | None:
    """Return the pixels of a 16-bit file of several channels, which Pillow would reduce to 8."""
    with path.open("rb") as file:  # a file that the reader opens itself would stay open
        reader = png.Reader(file=file)
        reader.preamble()
        if reader.bitdepth != 16 or reader.planes == 1:
            return None
        width, height, rows, info = reader.read()
        pixels = np.vstack([np.asarray(row, np.uint16) for row in rows])
    return Pixels(
        pixels.reshape(height, width, info["planes"]), "straight" if info["alpha"] else None
    )


def is_tiff(path: Path) -> bool:
    """Return whether a file begins as TIFF and BigTIFF files do."""
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _decode_tiff(path: Path) -> tuple[Pixels, int] | None:
    """Return pixels and orientation of a TIFF file; None if Pillow decodes it unchanged."""
    log = logging.getLogger("tifffile")  # it reports what is damaged there, besides raising errors
    before, log.disabled = log.disabled, True
    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            check_size(page.imagewidth, page.imagelength)
            # A damaged file can claim pages without end.
            some = itertools.islice(file.pages, 10)
            pages = sum(other.shape[:2] == page.shape[:2] for other in some)
            if pages > 1:
                raise InputError(f"{path}: {pages} pages, expected one image")
            pixels = _tiff_pixels(page, path)
            orientation = int(page.tags.valueof(EXIF_ORIENTATION, 1))
            return None if pixels is None else (pixels, orientation)
    except InputError:
        raise
    except Exception as error:  # on damaged files, tifffile raises errors of any kind
        raise ValueError(str(error)) from error
    finally:
        log.disabled = before


def _tiff_pixels(page: tifffile.TiffPage, path: Path) -> Pixels | None:
    """Return the colors, and the transparency if the tag ExtraSamples declares it.

    Any other sample, such as infrared, is an error.
    """
    if page.imagedepth > 1:
        raise InputError(f"{path}: a volume of {page.imagedepth} slices, expected one image")
    alphas = [kind for kind in page.extrasamples if kind in _ALPHA]
    bands = page.samplesperpixel - len(alphas[:1])
    is_cmyk = page.photometric == tifffile.PHOTOMETRIC.SEPARATED
    if bands not in (1, 3) and not (is_cmyk and bands == 4 and page.bitspersample == 8):
        raise InputError(
            f"{path}: {bands} bands of {page.bitspersample} bits"
            f"{' and transparency' if alphas else ''}, expected 1 (gray) or 3 (RGB)"
        )
    floating = page.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP
    inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
    plain = page.bitspersample == 16 and page.axes == "YX" and not inverted
    for_pillow = page.bitspersample <= 8 or plain
    if for_pillow and not floating and _ALPHA.get(alphas[0] if alphas else 0) != "premultiplied":
        return None
    present, parts = len(page.dataoffsets), math.prod(page.chunked)
    if present < parts and not page.is_contiguous:  # each missing part would be made up
        raise ValueError(f"{present} of {parts} strips or tiles")
    array = page.asarray()
    if array.dtype.kind not in "uf" or (array.dtype.kind == "u" and array.dtype.itemsize > 2):
        raise InputError(
            f"{path}: {array.dtype} pixels, expected 8 or 16 bit unsigned integers, or floats"
        )
    array = array.transpose(1, 2, 0) if page.axes == "SYX" else array
    if inverted:
        array = (1 if floating else np.iinfo(array.dtype).max) - array
    pixels = array if array.ndim == 3 else array[..., None]
    return Pixels(pixels, _ALPHA[alphas[0]] if alphas else None)
