"""Models that measurements accept, and the loop over the images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor
from tqdm import tqdm

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.parallel import alone, gather, is_writer, share

T = TypeVar("T")


@runtime_checkable
class NamedNetwork(Protocol):
    """A network that knows its name and how to restore an image."""

    @property
    def name(self) -> str:
        """What results call it."""

    def restore(self, lr: Tensor) -> Tensor:
        """Turn an LR image `(3, h, w)` into SR `(3, H, W)`."""


@runtime_checkable
class NamedModel(Protocol):
    """What has a name and an SR image `(3, H, W)` for each pair; `SRModel` and `SRImages` do."""

    @property
    def name(self) -> str:
        """What results call it."""

    def restore_pair(self, pair: ImagePair) -> Tensor:
        """Return the SR image of a pair."""


Restorer = NamedModel | NamedNetwork | Callable[[Tensor], Tensor]
PairRestorer = Callable[[ImagePair], Tensor]


def restorers_by_name(
    models: Mapping[str, Restorer] | Iterable[Restorer],
) -> dict[str, PairRestorer]:
    """Return name -> a function from an image pair to its SR image `(3, H, W)`, without gradients.

    Args:
        models: Things with a `name` and a method `restore_pair`, such as `SRModel`s and folders of
            SR images, or `restore`, which takes an LR image `(3, h, w)`; or name -> such a thing
            or any function of an LR image.

    Raises:
        InputError: No model, a function without a name, or two models of one name.

    Example:
        >>> restorers = restorers_by_name({"nearest": lambda lr: lr.repeat_interleave(2, -1)})
        >>> restorers["nearest"](ImagePair("a", torch.rand(3, 4, 8), torch.rand(3, 4, 4))).shape
        torch.Size([3, 4, 8])
    """
    if isinstance(models, Mapping):
        named = list(models.items())
    else:
        named = []
        for model in models:
            if not isinstance(model, NamedModel | NamedNetwork):
                raise InputError(
                    f"models: {type(model).__name__} without a name, expected objects with 'name' "
                    f"and 'restore', or a mapping from names to functions"
                )
            named.append((model.name, model))
    restorers: dict[str, PairRestorer] = {}
    for name, model in named:
        if name in restorers:
            raise InputError(f"models: two called {name}, expected each name once")
        restorers[name] = torch.no_grad()(_of_pairs(model))
    if not restorers:
        raise InputError("models: none, expected one or more")
    return restorers


def _of_pairs(model: Restorer) -> PairRestorer:
    if isinstance(model, NamedModel):
        return model.restore_pair
    function = model.restore if isinstance(model, NamedNetwork) else model
    return lambda pair: function(pair.lr)


def map_pairs(measure: Callable[[ImagePair], Iterable[T]], pairs: Sequence[ImagePair]) -> list[T]:
    """Return the results of `measure` for each image, in the order of the images.

    One image is held at a time. Under `torchrun` the processes share the images out, and each
    gets all results. What `measure` calls is not divided again.

    >>> pairs = [ImagePair(name, torch.rand(3, 4, 4), torch.rand(3, 1, 1)) for name in "ab"]
    >>> map_pairs(lambda pair: [pair.name, pair.scale], pairs)
    ['a', 4, 'b', 4]
    """
    mine = list(share(range(len(pairs))))
    silent = not is_writer() or len(pairs) == 1  # one image: the caller counts the images
    bar = tqdm(mine, disable=silent or None, unit="image")
    with alone():
        found = {index: list(measure(pairs[index])) for index in bar}
    by_image = {index: items for part in gather(found) for index, items in part.items()}
    return [item for index in sorted(by_image) for item in by_image[index]]
