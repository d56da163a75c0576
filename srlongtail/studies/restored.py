"""An image with what each model makes of it, so that no study of a command restores it again."""

from torch import Tensor

from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.difference import absolute_difference
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import bicubic


class RestoredImage:
    """An image pair and its SR images, each made when it is first asked for, and then kept.

    Models are told apart by their names, as everywhere in results.

    >>> from srlongtail.image.dataset import photos
    >>> image = RestoredImage(photos(4)[1])
    >>> image.sr(bicubic(4)).shape, image.bicubic_difference().shape
    (torch.Size([3, 300, 444]), torch.Size([300, 444]))
    """

    def __init__(self, pair: ImagePair) -> None:
        self.pair = pair
        self._outputs: dict[str, Tensor] = {}

    def output(self, model: AnyModel) -> Tensor:
        """Return a model's SR image `(3, H, W)`, not clamped, on the device of the pair."""
        if model.name not in self._outputs:
            self._outputs[model.name] = model.restore_pair(self.pair, clamp=False)
        return self._outputs[model.name]

    def sr(self, model: AnyModel) -> Tensor:
        """Return a model's SR image `(3, H, W)`, in [0, 1]; see `SRModel.restore`."""
        return self.output(model).clamp(0, 1)

    def difference(self, model: AnyModel) -> Tensor:
        """Return a model's absolute difference of luma `(H, W)`; see `absolute_difference`."""
        return absolute_difference(self.sr(model), self.pair.hr)

    def bicubic_difference(self) -> Tensor:
        """Return bicubic's absolute difference, by which windows and tenths are chosen."""
        return self.difference(bicubic(self.pair.scale))
