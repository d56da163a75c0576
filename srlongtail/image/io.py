"""Read and write images as float tensors `(3, H, W)` in [0, 1]."""

import io
import os
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import png
import tifffile
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from srlongtail.errors import InputError, InputWarning, Parameter
from srlongtail.files import replacing
from srlongtail.image.decode import (
    EXIF_ORIENTATION,
    FORMATS,
    SIDEWAYS,
    Pixels,
    check_size,
    decode,
    describe_file,
    is_tiff,
)

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

_TOLERANCE = 1e-4  # of white: floating point pixels may be this far outside the range


def quantize(image: Tensor) -> Tensor:
    """Return an image clamped to [0, 1] and rounded to the 256 levels of an 8-bit image.

    Halves are rounded up, as in MATLAB, not to even. The dtype is kept.

    Args:
        image: Any shape.

    Example:
        >>> quantize(torch.tensor([-0.2, 0.5 / 255, 0.7, 3.0])) * 255
        tensor([  0.,   1., 179., 255.])
    """
    return to_levels(image).div_(255)


def to_levels(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and return the nearest of the levels 0 to 255; see `quantize`.

    >>> to_levels(torch.tensor([-0.2, 0.5 / 255, 0.7, 3.0]))
    tensor([  0.,   1., 179., 255.])
    """
    return image.clamp(0, 1).mul_(255).add_(0.5).floor_()


def to_rgb8(image: Tensor) -> NDArray[np.uint8]:
    """Return an image `(3, H, W)` in [0, 1] as 8-bit RGB, `(H, W, 3)`; see `quantize`.

    Example:
        >>> to_rgb8(torch.ones(3, 4, 6)).shape
        (4, 6, 3)
    """
    return to_levels(image.detach().cpu().double()).byte().permute(1, 2, 0).numpy()


@dataclass(frozen=True)
class ImageFacts:
    """Result of checking an image file.

    Attributes:
        height: Height in pixels, the right way up.
        width: Width in pixels, the right way up.
        bits: Bits per channel: 8 or 16, or more for floating point numbers.
        floating: Whether the pixels are floating point numbers.
        peak: Largest stored value; None for 8-bit files, whose pixels are not inspected.
    """

    height: int
    width: int
    bits: int = 8
    floating: bool = False
    peak: float | None = None


def check_image(path: str | os.PathLike[str], white: float | None = None) -> ImageFacts:
    """Return the facts of an image file, checking as cheaply as possible that it can be read.

    For 8-bit PNG files, the checksums are verified; for JPEG files, the end marker is searched.
    Other files, and those with more than 8 bits per channel, are decoded.

    Args:
        path: The file.
        white: Value that is white in files with more than 8 bits per channel; see `read_image`.

    Raises:
        InputError: See `read_image`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "black.png"
        >>> write_image(path, torch.zeros(3, 20, 30))
        >>> check_image(path)
        ImageFacts(height=20, width=30, bits=8, floating=False, peak=None)
    """
    path = Path(path)
    with _naming(path):
        quick = _check_quickly(path)
        if quick is not None:
            return quick
        pixels = decode(path)
        _to_tensor(pixels, white, str(path))
    return _facts(pixels)


def read_image(path: str | os.PathLike[str], white: float | None = None) -> Tensor:
    """Read an image file as RGB, float32 `(3, H, W)` in [0, 1].

    Supported are PNG and TIFF with 8 or 16 bits per channel, TIFF with floating point numbers,
    JPEG, BMP and WebP. Gray becomes RGB, transparency is laid over white (with a warning), and the
    EXIF orientation is applied. A warning reports deep pixels that seem to need another `white`.

    Args:
        path: The file.
        white: Value that is white in files with more than 8 bits per channel, such as 4095 for 12
            bits stored in 16; default: 65535, or 1 for floating point numbers.

    Raises:
        InputError: The file is missing, damaged, or not one of these images; it has more bands
            than RGB and transparency; or values are below 0 or above `white`.
    """
    path = Path(path)
    with _naming(path):
        pixels = decode(path)
        image = _to_tensor(pixels, white, str(path))
    note = depth_note([_facts(pixels)], white)
    if note:
        warnings.warn(note.about(str(path)), stacklevel=2)
    return image


def read_checked(path: Path, white: float | None = None) -> Tensor:
    """Read an image as `read_image` does, without the warning that `ImageFacts` have given.

    Args:
        path: The file.
        white: Value that is white in files with more than 8 bits per channel.

    Raises:
        InputError: See `read_image`.
    """
    with _naming(path):
        return _to_tensor(decode(path), white, str(path))


def depth_note(facts: Iterable[ImageFacts], white: float | None = None) -> InputWarning | None:
    """Return a warning about the depth of images that belong together; None if all is as usual.

    Args:
        facts: Facts of the images.
        white: Value that the user says is white; if given, there is no warning.

    Example:
        >>> print(depth_note([ImageFacts(8, 8, bits=16, peak=3900.0)]))
        16 bits per channel, but no value above 3900: 12 bits? white=4095 treats them as such
    """
    deep = [image for image in facts if image.peak is not None and image.bits > 8]
    peak = max((image.peak or 0 for image in deep), default=0)
    if peak == 0 or white is not None:
        return None
    if any(image.floating for image in deep):
        text = f"floating point pixels up to {peak:.4g}; 1 is white, "
        return InputWarning(text, Parameter("white", "N"), " sets another")
    bits = next((bits for bits in (8, 10, 12, 14) if peak < 2**bits), None)
    if bits is None:
        return None
    text = f"16 bits per channel, but no value above {peak:.0f}: {bits} bits? "
    return InputWarning(text, Parameter("white", 2**bits - 1), " treats them as such")


def image_from_array(array: NDArray, *, name: str = "array") -> Tensor:
    """Return an integer array as an image tensor `(3, H, W)` in [0, 1].

    8- and 16-bit unsigned integers are scaled by their full range. Two and four channels are gray
    and RGB with transparency, which is laid over white with a warning.

    Args:
        array: `(H, W)` or `(H, W, C)` with 1 to 4 channels.
        name: Name of the image in warnings and errors.

    Raises:
        InputError: The array has another type or shape.

    Example:
        >>> image_from_array(np.full((2, 2), 255, np.uint8)).shape
        torch.Size([3, 2, 2])
    """
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name}: {array.dtype} pixels, expected 8 or 16 bit unsigned integers")
    channels = array if array.ndim == 3 else array[..., None]
    if channels.ndim != 3 or not 1 <= channels.shape[2] <= 4:
        raise InputError(f"{name}: shape {array.shape}, expected (H, W) or (H, W, 1 to 4)")
    has_alpha = channels.shape[2] in (2, 4)
    return _to_tensor(Pixels(channels, "straight" if has_alpha else None), None, name)


def write_image(path: str | os.PathLike[str], image: Tensor, *, bits: int = 8) -> None:
    """Write an image; the file appears whole or not at all.

    Args:
        path: The file; its suffix determines the format, see `SUFFIXES`.
        image: RGB `(3, H, W)`; values outside [0, 1] are clamped.
        bits: Bits per channel: 8, or 16 for PNG and TIFF.

    Raises:
        InputError: The suffix, the number of bits or the shape is not one of these.
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
    array = np.empty((*image.shape[1:], 3), dtype=np.uint16 if bits == 16 else np.uint8)
    for top in range(0, len(array), 64):  # in float64, a large image would take much memory
        rows = image[:, top : top + 64].detach().cpu().double().clamp(0, 1)
        array[top : top + 64] = rows.mul_(levels).add_(0.5).floor_().permute(1, 2, 0).numpy()
    with replacing(path) as temporary:
        if bits == 16 and suffix == ".png":
            png.from_array(array.reshape(len(array), -1), "RGB;16").save(temporary)
        elif bits == 16:
            tifffile.imwrite(temporary, array, photometric="rgb")
        else:
            # `quality` is JPEG's, `lossless` WebP's; the other formats ignore both. In memory,
            # since Pillow does not notice if a full disk takes only a part of a JPEG file.
            stream = io.BytesIO()
            form = Image.registered_extensions()[suffix]
            Image.fromarray(array).save(stream, form, quality=95, lossless=True)
            temporary.write_bytes(stream.getvalue())


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn errors in reading a file into an `InputError` with its name and what it is."""
    if not os.path.isfile(path):  # Path.is_file raises an error for names that are too long
        if os.path.islink(path):
            target = os.readlink(path)
            raise InputError(f"{path}: a link to {target}, which does not exist, expected an image")
        raise InputError(f"{path}: no such file, expected an image")
    try:
        yield
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path}: {describe_file(path)}, expected one of {', '.join(SUFFIXES)}"
        ) from error
    except InputError:
        raise
    except Exception as error:  # decoders raise errors of any kind on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        if "imagecodecs" in reason:
            raise InputError(
                f"{path}: compressed in a way that is not supported at this depth: {reason}"
            ) from error
        raise InputError(f"{path}: damaged or unreadable image: {reason}") from error


def _check_quickly(path: Path) -> ImageFacts | None:
    """Return the facts of an intact 8-bit PNG or JPEG file; None if it must be decoded."""
    if is_tiff(path):
        return None
    with Image.open(path, formats=FORMATS) as image:
        check_size(*image.size)
        # `getexif` would decode a whole PNG file, to search behind the pixels, too.
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        turned = exif.get(EXIF_ORIENTATION, 1) in SIDEWAYS
        facts = ImageFacts(*(image.size if turned else image.size[::-1]))
        with path.open("rb") as file:
            if image.format == "PNG" and file.read(25)[24] <= 8:  # bits, in the header chunk
                image.verify()
                return facts
            file.seek(-min(path.stat().st_size, 64), os.SEEK_END)
            if image.format == "JPEG" and file.read().rstrip(b"\0").endswith(b"\xff\xd9"):
                return facts
    return None


def _facts(pixels: Pixels) -> ImageFacts:
    array = pixels.array
    deep = array.dtype != np.uint8
    colors = array[..., :-1] if pixels.alpha else array
    height, width = array.shape[:2]
    return ImageFacts(
        height,
        width,
        bits=array.dtype.itemsize * 8,
        floating=array.dtype.kind == "f",
        peak=float(colors.max()) if deep else None,
    )


def _to_tensor(pixels: Pixels, white: float | None, name: str) -> Tensor:
    if white is not None and not white > 0:
        raise InputError(f"white {white}, expected a positive number")
    array, floating = pixels.array, pixels.array.dtype.kind == "f"
    full = 1.0 if floating else float(np.iinfo(array.dtype).max)
    deep = array.dtype != np.uint8
    level = white if white is not None and deep else full
    # Integers divided in single precision are the rounded quotients, at half the memory.
    precision = np.float64 if floating or pixels.alpha else np.float32
    values: NDArray[Any] = array.transpose(2, 0, 1).astype(precision, order="C")
    alpha = values[-1:] / full if pixels.alpha else None
    values = values[:-1] if pixels.alpha else values
    values /= level
    if deep and not (values.min() >= -_TOLERANCE and values.max() <= 1 + _TOLERANCE):
        # NaN, for which both comparisons are false, ends here, too.
        raise InputError(
            f"{name}: {array.dtype} pixels from {values.min() * level:.6g} to "
            f"{values.max() * level:.6g}, expected 0 to {level:g}; ",
            Parameter("white", "N"),
            " sets what is white",
        )
    if alpha is not None:
        if alpha.min() < 1:
            warnings.warn(f"{name}: transparency laid over white", stacklevel=3)
        values = (values if pixels.alpha == "premultiplied" else values * alpha) + (1 - alpha)
    values = values.clip(0, 1, out=values)
    values = values if len(values) == 3 else np.repeat(values, 3, axis=0)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
