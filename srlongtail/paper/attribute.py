"""One image under one network: what `srlongtail attribute` reads, computes and writes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from srlongtail.attribution.target import Window
from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, open_image
from srlongtail.image.io import read_image
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.sr_model import SRModel
from srlongtail.paper import fig6
from srlongtail.paper.build import write_result
from srlongtail.provenance import provenance
from srlongtail.results import write_maps


def attribute_image(
    model: SRModel,
    image: str,
    window: Window | None = None,
    *,
    is_lr: bool = False,
    published: bool = False,
) -> fig6.Fig6:
    """Attribute a window of an image file or a built-in photo.

    Args:
        model: the network.
        image: an HR image, from which LR is made by the paper's rule, or the LR image itself.
        window: row, column and size in SR pixels; by default the hardest one.
        is_lr: the image is the network's input.
        published: reproduce the published code, which makes LR by Pillow's bicubic.

    Raises:
        InputError: no such image, or an LR image without a window.

    >>> from srlongtail.models.sr_model import bicubic
    >>> attribute_image(bicubic(4), "chelsea", (80, 80, 16)).maps["bicubic"].canvas
    (75, 111)
    """
    if not is_lr:
        make = published_pair if published else _paper_pair
        return fig6.attribute([model], make(image, model.scale), window, published=published)
    if window is None:
        raise InputError(
            f"{image}: without HR nothing tells the tail, expected --window ROW COL SIZE"
        )
    lr = read_image(image)
    enlarged = upsample_bicubic(lr, model.scale).clamp(0, 1)
    pair = ImagePair(Path(image).stem, enlarged, lr)
    return fig6.attribute([model], pair, window, photo_name="LR", published=published)


def published_pair(image: str, scale: int) -> ImagePair:
    """HR cropped to multiples of the scale, and LR by Pillow's bicubic of 8 bits, as LAM's code.

    >>> published_pair("chelsea", 4).lr.shape
    torch.Size([3, 75, 111])
    """
    path = Path(image)
    hr = read_image(path) if path.is_file() else open_image(image, scale)[0].hr
    height, width = (side - side % scale for side in hr.shape[-2:])
    if min(height, width) == 0:
        raise InputError(
            f"{image}: HR image of {hr.shape[-2]} x {hr.shape[-1]} pixels, "
            f"expected at least {scale} x {scale}"
        )
    hr = hr[:, :height, :width]
    return ImagePair(path.stem, hr, _pillow_bicubic(hr, scale))


def write_attribution(
    result: fig6.Fig6, model: SRModel, out: Path, *, is_lr: bool = False, published: bool = False
) -> list[Path]:
    """Write `attribute.png`, `.pdf`, `.csv`, `.json` (the numbers) and `.npz` (the maps)."""
    found = result.maps[model.name]
    origin = "Pillow's bicubic of 8 bits" if published else "MATLAB's bicubic"
    about = provenance(
        [model],
        [],
        image=result.image,
        lr="as given" if is_lr else origin,
        window=list(result.window),
        window_rule=result.rule,
        published=published,
    )
    maps = {
        "attributions": found.attributions,
        "signed": found.signed,
        "absolute": found.absolute,
    }
    return [
        write_result(out / "attribute", fig6, result, found.record() | about),
        write_maps(out / "attribute.npz", maps),
    ]


def _paper_pair(image: str, scale: int) -> ImagePair:
    return open_image(image, scale)[0]


def _pillow_bicubic(hr: Tensor, scale: int) -> Tensor:
    levels = hr.mul(255).round().byte().permute(1, 2, 0).numpy()
    size = (hr.shape[-1] // scale, hr.shape[-2] // scale)
    small = Image.fromarray(levels).resize(size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(small)).permute(2, 0, 1).float() / 255
