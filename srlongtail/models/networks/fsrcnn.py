"""FSRCNN: a small network that works at low resolution and enlarges in its last layer.

Chao Dong, Chen Change Loy and Xiaoou Tang, "Accelerating the Super-Resolution Convolutional
Neural Network", ECCV 2016.

Note: as in the weights published for Focal Pixel Learning, the network takes RGB instead of
luminance, has one PReLU slope per layer instead of one per channel, and has no activation between
the mapping convolutions.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from srlongtail.models.networks._layers import count_keys, same_conv, shuffle_factors

_TAIL_KERNEL = 9


class FSRCNN(nn.Module):
    """Extract, shrink, map, expand, and enlarge with a transposed convolution.

    Takes RGB `(N, 3, h, w)` in [0, 1] and returns `(N, 3, h * scale, w * scale)`, unclamped.

    Args:
        scale: 2, 3 or 4.
        features: Channels of the first and of the last layer, d in the paper.
        shrunk: Channels of the mapping layers, s in the paper.
        mappings: Number of mapping layers, m in the paper.

    Example:
        >>> import torch
        >>> FSRCNN(scale=4)(torch.rand(1, 3, 8, 8)).shape
        torch.Size([1, 3, 32, 32])

    References:
        Dong, Loy and Tang, ECCV 2016, https://arxiv.org/abs/1608.00367
    """

    def __init__(
        self, *, scale: int = 4, features: int = 56, shrunk: int = 12, mappings: int = 4
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.head_conv = nn.Sequential(same_conv(3, features, 5), nn.PReLU())
        self.body_conv = nn.Sequential(
            nn.Sequential(same_conv(features, shrunk, 1), nn.PReLU()),
            *(same_conv(shrunk, shrunk) for _ in range(mappings)),
            nn.PReLU(),
            nn.Sequential(same_conv(shrunk, features, 1), nn.PReLU()),
        )
        # The output has scale * (h - 1) + kernel - 2 * padding + extra rows: scale * h.
        extra = (_TAIL_KERNEL - scale) % 2
        padding = (_TAIL_KERNEL - scale + extra) // 2
        self.tail_conv = nn.ConvTranspose2d(features, 3, _TAIL_KERNEL, scale, padding, extra)
        self._initialize()

    def _initialize(self) -> None:
        # The published training code uses a tenth of these standard deviations, which keeps the
        # network on a plateau for thousands of iterations. The small transposed convolution is
        # the paper's: training starts from a black image (or from a residual of 0).
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # 0.25: PReLU's initial slope
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.tail_conv.weight, std=0.001)
        nn.init.zeros_(self.tail_conv.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        return self.tail_conv(self.body_conv(self.head_conv(x)))

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape depends on the scale, so `scale` is left out.
        """
        if not {"head_conv.0.weight", "body_conv.0.0.weight", "tail_conv.weight"} <= state.keys():
            return None
        shrunk, features = state["body_conv.0.0.weight"].shape[:2]
        # The number of the PReLU after the mappings continues their numbering.
        mappings = count_keys(state, "body_conv.{}.weight", start=1) - 1
        return {"features": features, "shrunk": shrunk, "mappings": mappings}
