"""One image and one network: what `srlongtail attribute` reads, computes and writes."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srlongtail.errors import InputError, Parameter
from srlongtail.geometry import Window
from srlongtail.image.dataset import ImagePair, open_image
from srlongtail.image.io import read_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.sr_model import SRModel
from srlongtail.provenance import provenance
from srlongtail.results import write_maps, write_table
from srlongtail.studies import attribution, attribution_map, methods
from srlongtail.studies.restored import RestoredImage
from srlongtail.studies.writing import write_result


def read_restored(
    model: SRModel,
    image: str,
    *,
    is_lr: bool = False,
    published: bool = False,
    white: float | None = None,
) -> RestoredImage:
    """Read an image file or a built-in photo, with the network's input.

    Args:
        model: The network.
        image: An HR image, from which LR is made by the paper's rule, or the LR image itself.
        is_lr: Whether the image is the network's input; the enlarged image then replaces HR.
        published: Make LR by Pillow's bicubic, as the published code does.
        white: Value that is white in files with more than 8 bits; see `read_image`.

    Raises:
        InputError: There is no such image, or it cannot be used.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> read_restored(bicubic(4), "chelsea").pair.lr.shape
        torch.Size([3, 75, 111])
    """
    if is_lr:
        lr = read_image(image, white)
        hr = upsample_bicubic(lr, model.scale).clamp(0, 1)
        return RestoredImage(ImagePair(Path(image).stem, hr, lr))
    if published:
        return RestoredImage(published_pair(image, model.scale, white))
    return RestoredImage(open_image(image, model.scale, white=white)[0])


def attribute_image(
    model: SRModel,
    image: str | RestoredImage,
    window: Window | None = None,
    *,
    is_lr: bool = False,
    published: bool = False,
) -> attribution.WindowAttribution:
    """Attribute a window of an image file or a built-in photo.

    Args:
        model: The network.
        image: An HR image, from which LR is made by the paper's rule, or the LR image itself; or
            the result of `read_restored`.
        window: Row, column and size in SR pixels; default: the hardest window.
        is_lr: Whether the image is the network's input.
        published: Reproduce the published code, which makes LR by Pillow's bicubic.

    Raises:
        InputError: There is no such image, or an LR image without a window.

    Example:
        >>> from srlongtail.models.sr_model import bicubic
        >>> attribute_image(bicubic(4), "chelsea", (80, 80, 16)).maps["bicubic"].canvas
        (75, 111)
    """
    if is_lr and window is None:
        name = image if isinstance(image, str) else image.pair.name
        raise InputError(
            f"{name}: the tail is unknown without HR, expected ",
            Parameter("window", "ROW COL SIZE"),
        )
    if isinstance(image, str):
        image = read_restored(model, image, is_lr=is_lr, published=published)
    photo_name = "LR" if is_lr else "HR"
    return attribution.compute([model], image, window, photo_name=photo_name, published=published)


def compare_image(
    model: SRModel,
    image: str | RestoredImage,
    window: Window,
    *,
    is_lr: bool = False,
    published: bool = False,
    seed: int = 0,
) -> methods.Methods:
    """Compare LAM with captum's methods on a window, which shows how far to trust its map.

    Args:
        model: The network.
        image: See `attribute_image`.
        window: Row, column and size in SR pixels.
        is_lr: Whether the image is the network's input.
        published: Make LR by Pillow's bicubic, as the published code does.
        seed: Seed of all random choices.

    Returns:
        The comparison: `frame()` is the table, one row per method (see `compare_methods`), and
        `draw` of `studies.methods` draws it.
    """
    if isinstance(image, str):
        image = read_restored(model, image, is_lr=is_lr, published=published)
    return methods.compute(model, image, window, seed)


def published_pair(image: str, scale: int, white: float | None = None) -> ImagePair:
    """Return HR and LR as the published code of LAM makes them.

    HR is cropped to multiples of the scale; LR is made by Pillow's bicubic on 8-bit values.

    Args:
        image: File of the HR image, or name of a built-in photo.
        scale: HR pixels per LR pixel.
        white: Value that is white in files with more than 8 bits; see `read_image`.

    Raises:
        InputError: There is no such image, or it is smaller than one LR pixel.

    Example:
        >>> published_pair("chelsea", 4).lr.shape
        torch.Size([3, 75, 111])
    """
    path = Path(image)
    hr = read_image(path, white) if path.is_file() else open_image(image, scale)[0].hr
    height, width = (side - side % scale for side in hr.shape[-2:])
    if min(height, width) == 0:
        raise InputError(
            f"{image}: HR image of {hr.shape[-2]} x {hr.shape[-1]} pixels, "
            f"expected at least {scale} x {scale}"
        )
    hr = hr[:, :height, :width]
    return ImagePair(path.stem, hr, _pillow_bicubic(hr, scale))


def write_attribution(
    result: attribution.WindowAttribution | attribution_map.AttributionGrid | methods.Methods,
    model: SRModel,
    out: Path,
    *,
    is_lr: bool = False,
    published: bool = False,
) -> list[Path]:
    """Write what was found of an image, as `.png`, `.pdf`, `.csv` and `.json`, and its maps.

    Args:
        result: A window's attribution (written as `attribute`, with the maps as `attribute.npz`), a
            map of windows (`attribute-map`), or a comparison of methods (`methods`, with the maps
            as `methods.npz`, and `methods-curves.csv`).
        model: The network.
        out: Folder to write to.
        is_lr: Whether the image was the network's input.
        published: Whether the published code was reproduced.

    Returns:
        Paths of the PNG file and of all files with maps and curves.
    """
    made = "Pillow's bicubic of 8 bits" if published else "MATLAB's bicubic"
    about = provenance(
        [model],
        [],
        image_sha256=hashlib.sha256(result.photo.numpy().tobytes()).hexdigest(),
        lr="as given" if is_lr else made,
        published=published,
    )
    if isinstance(result, attribution_map.AttributionGrid):
        return [write_result(out / "attribute-map", attribution_map.draw, result, about)]
    if isinstance(result, methods.Methods):
        compared = result.comparison
        return [
            write_result(out / "methods", methods.draw, result, about),
            write_table(out / "methods-curves.csv", compared.curves),
            write_maps(out / "methods.npz", compared.attributions),
        ]
    found = result.maps[model.name]
    names = ("attributions", "signed", "absolute")
    return [
        write_result(out / "attribute", attribution.draw, result, found.record() | about),
        write_maps(out / "attribute.npz", {name: getattr(found, name) for name in names}),
    ]


def _pillow_bicubic(hr: Tensor, scale: int) -> Tensor:
    levels = hr.mul(255).round().byte().permute(1, 2, 0).numpy()
    size = (hr.shape[-1] // scale, hr.shape[-2] // scale)
    small = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
