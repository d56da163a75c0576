"""FSRCNN as in its PyTorch ports: one PReLU slope per channel, and mostly for luma.

Chao Dong, Chen Change Loy and Xiaoou Tang, "Accelerating the Super-Resolution Convolutional
Neural Network", ECCV 2016.

The ports differ in their channels (luma; RGB; YCbCr, which no shape reveals), in their keys, and in
whether every mapping convolution has an activation or only the last one.
"""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor, nn

from srlongtail.models.networks._layers import add_layer, count_keys, same_conv, shuffle_factors

_KERNEL = 9


class PortedFSRCNN(nn.Module):
    """Extract, shrink, map, expand, and enlarge with a transposed convolution.

    Takes `(N, channels, h, w)` in [0, 1] and returns `(N, channels, h * scale, w * scale)`,
    unclamped.

    Args:
        scale: 2, 3 or 4.
        channels: 1 for luma, or 3.
        features: Channels of the first and of the last layer, d in the paper.
        shrunk: Channels of the mapping layers, s in the paper.
        mappings: Number of mapping layers, m in the paper.
        layout: Keys of the state dictionary, named after the first one. In "feature_extract", only
            the last mapping has an activation; in the other layouts, every mapping has one.

    Example:
        >>> import torch
        >>> PortedFSRCNN(scale=4)(torch.rand(1, 1, 8, 8)).shape
        torch.Size([1, 1, 32, 32])

    References:
        Dong, Loy and Tang, ECCV 2016, https://arxiv.org/abs/1608.00367
    """

    def __init__(
        self,
        *,
        scale: int = 4,
        channels: int = 1,
        features: int = 56,
        shrunk: int = 12,
        mappings: int = 4,
        layout: Literal["first_part", "feature_extraction", "feature_extract"] = "first_part",
    ) -> None:
        super().__init__()
        shuffle_factors(scale)  # raises an error for other scales
        self.names = _names(layout, mappings)
        layers: list[nn.Module] = [same_conv(channels, features, 5), nn.PReLU(features)]
        layers += [same_conv(features, shrunk, 1), nn.PReLU(shrunk)]
        for number in range(1, mappings + 1):
            layers.append(same_conv(shrunk, shrunk))
            if number == mappings or layout != "feature_extract":
                layers.append(nn.PReLU(shrunk))
        layers += [same_conv(shrunk, features, 1), nn.PReLU(features)]
        # The output has scale * (h - 1) + kernel - 2 * padding + output_padding rows.
        layers.append(
            nn.ConvTranspose2d(features, channels, _KERNEL, scale, _KERNEL // 2, scale - 1)
        )
        for name, layer in zip(self.names, layers, strict=True):
            add_layer(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return x

    @staticmethod
    def arguments_from(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
        """Return the arguments that fit a state dictionary; None if it is of another network.

        No shape depends on the scale, so `scale` is left out.
        """
        counts = {
            "first_part": (count_keys(state, "mid_part.{}.weight") - 4) // 2,
            "feature_extraction": count_keys(state, "map.{}.weight") // 2,
            "feature_extract": count_keys(state, "map_{}.weight", start=1),
        }
        for layout, mappings in counts.items():
            if mappings > 0:
                names = _names(layout, mappings)
                if {f"{name}.weight" for name in names} <= state.keys():
                    first, shrink = (state[f"{names[n]}.weight"] for n in (0, 2))
                    return {
                        "channels": first.shape[1],
                        "features": len(first),
                        "shrunk": len(shrink),
                        "mappings": mappings,
                        "layout": layout,
                    }
        return None


def _names(layout: str, mappings: int) -> list[str]:
    """Return the names of the layers in order."""
    if layout == "first_part":
        inner = [f"mid_part.{number}" for number in range(2 * mappings + 4)]
        return ["first_part.0", "first_part.1", *inner, "last_part"]
    if layout == "feature_extraction":
        inner = [f"map.{number}" for number in range(2 * mappings)]
        around = ["feature_extraction.0", "feature_extraction.1", "shrink.0", "shrink.1"]
        return [*around, *inner, "expand.0", "expand.1", "deconv"]
    inner = [f"map_{number}" for number in range(1, mappings + 1)]
    around = ["feature_extract", "activation_1", "shrink", "activation_2"]
    return [*around, *inner, "activation_3", "expand", "activation_4", "deconv"]
