"""See where a super-resolution network fails: the long tail of its errors.

The public names below are loaded when they are first used, so that `import srlongtail` is quick.
"""

import importlib
import importlib.metadata
from typing import TYPE_CHECKING, Any

_HOMES = {
    "BandError": "srlongtail.longtail.bands",
    "FocalPixelLoss": "srlongtail.focal.loss",
    "ImagePair": "srlongtail.image.dataset",
    "InputError": "srlongtail.errors",
    "LocalAttribution": "srlongtail.attribution.lam",
    "PAPER": "srlongtail.metrics",
    "SRImages": "srlongtail.models.sr_images",
    "SRModel": "srlongtail.models.sr_model",
    "Y_CHANNEL": "srlongtail.metrics",
    "absolute_difference": "srlongtail.longtail.difference",
    "compare": "srlongtail.longtail.comparison",
    "difference_histogram": "srlongtail.longtail.difference",
    "evaluate": "srlongtail.evaluation",
    "focal_weights": "srlongtail.focal.weights",
    "hardest_window": "srlongtail.attribution.windows",
    "load_model": "srlongtail.models.checkpoint",
    "local_attribution": "srlongtail.attribution.lam",
    "make_loss": "srlongtail.losses.catalog",
    "measure_bands": "srlongtail.longtail.bands",
    "open_data": "srlongtail.image.dataset",
    "photos": "srlongtail.image.dataset",
    "psnr": "srlongtail.metrics",
    "read_image": "srlongtail.image.io",
    "restore_files": "srlongtail.restoration",
    "save_model": "srlongtail.models.checkpoint",
    "ssim": "srlongtail.metrics",
    "write_image": "srlongtail.image.io",
}

__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    __version__: str

    from srlongtail.attribution.lam import LocalAttribution as LocalAttribution
    from srlongtail.attribution.lam import local_attribution as local_attribution
    from srlongtail.attribution.windows import hardest_window as hardest_window
    from srlongtail.errors import InputError as InputError
    from srlongtail.evaluation import evaluate as evaluate
    from srlongtail.focal.loss import FocalPixelLoss as FocalPixelLoss
    from srlongtail.focal.weights import focal_weights as focal_weights
    from srlongtail.image.dataset import ImagePair as ImagePair
    from srlongtail.image.dataset import open_data as open_data
    from srlongtail.image.dataset import photos as photos
    from srlongtail.image.io import read_image as read_image
    from srlongtail.image.io import write_image as write_image
    from srlongtail.longtail.bands import BandError as BandError
    from srlongtail.longtail.bands import measure_bands as measure_bands
    from srlongtail.longtail.comparison import compare as compare
    from srlongtail.longtail.difference import absolute_difference as absolute_difference
    from srlongtail.longtail.difference import difference_histogram as difference_histogram
    from srlongtail.losses.catalog import make_loss as make_loss
    from srlongtail.metrics import PAPER as PAPER
    from srlongtail.metrics import Y_CHANNEL as Y_CHANNEL
    from srlongtail.metrics import psnr as psnr
    from srlongtail.metrics import ssim as ssim
    from srlongtail.models.checkpoint import load_model as load_model
    from srlongtail.models.checkpoint import save_model as save_model
    from srlongtail.models.sr_images import SRImages as SRImages
    from srlongtail.models.sr_model import SRModel as SRModel
    from srlongtail.restoration import restore_files as restore_files


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.metadata.version("srlongtail")  # stated in pyproject.toml alone
    if name not in _HOMES:
        raise AttributeError(f"module 'srlongtail' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
