"""An image with its SR images, so that no study of a command restores it again."""

from collections.abc import Callable, Iterable
from functools import partial

from torch import Tensor

from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.difference import absolute_difference
from srlongtail.metrics import Protocol
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import bicubic


class RestoredImage:
    """An image pair and its SR images, each restored when it is first needed, then kept.

    Models are told apart by their names, as everywhere in results.

    Args:
        pair: The image pair.
        protocol: Restore in the tiles of this protocol; default: whole images.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> image = RestoredImage(photos(4)[1])
        >>> image.sr(bicubic(4)).shape, image.bicubic_difference().shape
        (torch.Size([3, 300, 444]), torch.Size([300, 444]))
    """

    def __init__(self, pair: ImagePair, protocol: Protocol | None = None) -> None:
        self.pair = pair
        self._protocol = protocol
        self._outputs: dict[str, Tensor] = {}

    def output(self, model: AnyModel) -> Tensor:
        """Return a model's SR image `(3, H, W)`, not clamped, on the device of the pair."""
        if model.name not in self._outputs:
            tile = (
                self._protocol.tiling(model.architecture, self.pair.dataset)
                if self._protocol
                else None
            )
            self._outputs[model.name] = model.restore_pair(self.pair, tile, clamp=False)
        return self._outputs[model.name]

    def sr(self, model: AnyModel) -> Tensor:
        """Return a model's SR image `(3, H, W)`, in [0, 1]; see `SRModel.restore`."""
        return self.output(model).clamp(0, 1)

    def difference(self, model: AnyModel) -> Tensor:
        """Return a model's absolute difference of luma `(H, W)`; see `absolute_difference`."""
        return absolute_difference(self.sr(model), self.pair.hr)

    def restorers(self, models: Iterable[AnyModel]) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return name -> function that measurements call with this image's LR, for each model."""
        return {model.name: partial(_given, self.sr(model)) for model in models}

    def bicubic_difference(self) -> Tensor:
        """Return bicubic's absolute difference `(H, W)`, which ranks windows and pixels."""
        return self.difference(bicubic(self.pair.scale))


def _given(sr: Tensor, lr: Tensor) -> Tensor:
    return sr
