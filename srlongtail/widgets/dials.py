"""Dials for the focal weights, and the weight maps that follow them."""

import math
from typing import Any

import numpy as np
import torch
import traitlets
from matplotlib import colormaps
from torch import Tensor

from srlongtail.errors import InputError
from srlongtail.focal.weights import FocalParameters, focal_map
from srlongtail.image.io import to_rgb8
from srlongtail.widgets.base import FOLDER, Pixels, Widget, contact_sheet, data_uri

SCALE = (0.25, 4.0)  # weights at the ends of the color scale, which is logarithmic


class FocalDials(Widget):
    """Turn alpha, gamma and scope of the focal weights (Eq. 5), and see the weights change.

    Args:
        hr, bicubic, sr: A batch of patches `(N, 3, H, W)` in [0, 1]: HR, the enlarged LR and the
            network's SR, as `focal_map` takes them.
        parameters: Where the dials are at first; default: the paper's.

    Attributes:
        parameters: What the dials say, as `FocalParameters`.
        static, learnable: Whether the static and the learnable weight are used; at least one is.
        weights: The weight that the loss applies, `(N, 3, H, W)`.

    Raises:
        InputError: Tensors of different shapes.

    Example:
        >>> dials = FocalDials(*torch.rand(3, 2, 3, 8, 8))
        >>> dials.learnable = False
        >>> round(dials.weights.min().item(), 4)
        0.5
        >>> dials.alpha_sp = 1.0
        >>> round(dials.weights.min().item(), 4)
        1.0
    """

    _esm = FOLDER / "dials.js"
    alpha_sp = traitlets.Float(min=0.01).tag(sync=True)
    gamma_sp = traitlets.Float().tag(sync=True)
    alpha_lp = traitlets.Float(min=0.01).tag(sync=True)
    gamma_lp = traitlets.Float().tag(sync=True)
    scope = traitlets.Enum(("batch", "image")).tag(sync=True)
    static = traitlets.Bool(True).tag(sync=True)
    learnable = traitlets.Bool(True).tag(sync=True)
    patches: Any = traitlets.List().tag(sync=True)
    maps: Any = traitlets.List().tag(sync=True)
    legend = traitlets.Dict().tag(sync=True)
    parameters = traitlets.Instance(FocalParameters)

    def __init__(
        self,
        hr: Tensor,
        bicubic: Tensor,
        sr: Tensor,
        parameters: FocalParameters | None = None,
    ) -> None:
        if hr.ndim != 4 or not hr.shape == bicubic.shape == sr.shape:
            shapes = ", ".join(str(tuple(images.shape)) for images in (hr, bicubic, sr))
            raise InputError(f"HR, bicubic and SR of {shapes}, expected one shape (N, 3, H, W)")
        self._sr, self._hr, self._bicubic = sr.detach(), hr, bicubic
        start = parameters or FocalParameters()
        dials = {name: getattr(start, name) for name in _DIALS}
        ramp = _colored(torch.logspace(math.log10(SCALE[0]), math.log10(SCALE[1]), 256)[None])
        super().__init__(
            **dials,
            parameters=start,
            patches=[data_uri(to_rgb8(patch)) for patch in hr],
            legend={"url": data_uri(ramp), "low": SCALE[0], "high": SCALE[1]},
        )
        self._compute()
        self.observe(self._compute, [*_DIALS, "static", "learnable"])

    def _compute(self, change: Any = None) -> None:
        if not (self.static or self.learnable):  # no weight would be left
            other = "learnable" if change["name"] == "static" else "static"
            setattr(self, other, True)
            return
        parameters = FocalParameters(**{name: getattr(self, name) for name in _DIALS})
        self.weights = focal_map(
            self._sr,
            self._hr,
            self._bicubic,
            parameters=parameters,
            static=self.static,
            learnable=self.learnable,
        )
        means = self.weights.mean(1)
        self._maps = [_colored(weights) for weights in means]
        self.maps = [
            {
                "url": data_uri(pixels),
                "low": float(weights.min()),
                "mean": float(weights.mean()),
                "high": float(weights.max()),
            }
            for pixels, weights in zip(self._maps, means, strict=True)
        ]
        self.parameters = parameters

    def picture(self) -> bytes:
        """Return a JPEG file of the patches and their weight maps."""
        pairs: dict[str, Pixels] = {}
        for number, patch in enumerate(self._hr, start=1):
            pairs[f"patch {number}"] = to_rgb8(patch)
            mean = self.maps[number - 1]["mean"]
            pairs[f"weights {number}: mean {mean:.2f}"] = self._maps[number - 1]
        return contact_sheet(pairs)


_DIALS = ("alpha_sp", "gamma_sp", "alpha_lp", "gamma_lp", "scope")


def _colored(weights: Tensor) -> Pixels:
    """Return weights `(H, W)` on viridis, logarithmic."""
    low, high = np.log(SCALE)
    place = (weights.detach().cpu().double().log().numpy() - low) / (high - low)
    return colormaps["viridis"](place.clip(0, 1), bytes=True)[..., :3].copy()
