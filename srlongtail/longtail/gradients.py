"""Which pixels a loss's gradient comes from, at the network's output and in its weights.

At the output a plain L1 loss gives every tenth of the pixels a tenth of the gradient, by
definition: it says nothing about who trains the network. The gradient in the weights does: pixels
whose gradients agree add up there, and those that disagree cancel.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import pandas as pd
import torch
from torch import Tensor, nn

from srlongtail.device import device_of, eval_mode
from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.restorers import map_pairs
from srlongtail.longtail.tail import HEAD, TENTHS, Difficulty, Ranking, difficulty, split_by_rank

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # SR, HR, bicubic (1, 3, H, W) -> a number
Network = Callable[[Tensor], Tensor]  # LR (1, 3, h, w) -> the full SR image, not clamped


@runtime_checkable
class HasOutputGradient(Protocol):
    """A loss that knows its gradient with respect to SR without automatic differentiation.

    `PixelLoss` does, and so do losses of the catalog.
    """

    def output_gradient(self, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
        """Return the gradient, a tensor like `sr`."""


def output_gradient(loss: Loss, sr: Tensor, hr: Tensor, bicubic: Tensor) -> Tensor:
    """Return the gradient of a loss with respect to SR.

    The loss's own closed form where it has one (see `HasOutputGradient`), else automatic
    differentiation.

    Args:
        loss: Of SR, HR and bicubic; returns one number.
        sr, hr, bicubic: `(N, 3, H, W)`.

    Raises:
        InputError: The loss returns several numbers, or does not depend on SR.

    Example:
        >>> sr, hr = torch.tensor([[3.0]]), torch.tensor([[1.0]])
        >>> output_gradient(lambda sr, hr, bicubic: (sr - hr).square().sum(), sr, hr, hr)
        tensor([[4.]])
    """
    sr = sr.detach()
    if isinstance(loss, HasOutputGradient):
        return loss.output_gradient(sr, hr, bicubic)
    with torch.enable_grad():
        variable = sr.clone().requires_grad_()
        value = loss(variable, hr, bicubic)
    if value.numel() != 1 or not value.requires_grad:
        raise InputError(
            f"loss of shape {tuple(value.shape)}, expected one number that depends on SR"
        )
    return torch.autograd.grad(value.squeeze(), variable)[0]


def output_gradient_share(
    losses: Mapping[str, Loss],
    model: Network,
    pairs: Sequence[ImagePair],
    ranked_by: Ranking | Difficulty = "bicubic_ad",
) -> pd.DataFrame:
    """Return which share of the gradient at the network's output each tenth of the pixels has.

    The share of the absolute gradient, summed over the channels. One image is held at a time, and
    is a batch by itself, so that weights that depend on a batch's smallest and largest error see
    the image alone. Under `torchrun` the processes share the images out.

    Args:
        losses: Name -> function of SR, HR and bicubic, `(1, 3, H, W)` each, bicubic not clamped.
        model: From `(1, 3, h, w)` to the full SR image, not clamped, such as an `SRModel`; put
            into eval mode.
        pairs: The images.
        ranked_by: See `difficulty`.

    Returns:
        Columns `loss, dataset, image, tenth, share`, in percent; tenth 1 is the easiest. NaN
        where the gradient is 0 everywhere.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> losses = {"L2": lambda sr, hr, bicubic: (sr - hr).square().mean()}
        >>> network = lambda lr: upsample_bicubic(lr, 4)
        >>> table = output_gradient_share(losses, network, photos(4)[1:2])
        >>> table["share"].round(1).tolist()[::9]
        [1.4, 38.5]
    """
    measure = partial(_output_shares, losses=losses, model=model, ranked_by=ranked_by)
    columns = ["loss", "dataset", "image", "tenth", "share"]
    return pd.DataFrame(map_pairs(measure, pairs), columns=columns)


def gradient_shares(
    loss: Loss,
    sr: Tensor,
    hr: Tensor,
    bicubic: Tensor,
    ranked_by: Ranking | Difficulty = "bicubic_ad",
) -> list[float]:
    """Return which share of the gradient at the network's output each tenth of the pixels has.

    The share of the absolute gradient, summed over the channels, in percent. The tenths are those
    of each image; the shares are means over the images. The loss sees the batch as a whole.

    Args:
        loss: See `output_gradient`.
        sr, hr, bicubic: A batch `(N, 3, H, W)`; SR and bicubic not clamped.
        ranked_by: See `difficulty`.

    Returns:
        Ten shares, the easiest tenth first; NaN where an image has no gradient.

    Example:
        >>> l1 = lambda sr, hr, bicubic: (sr - hr).abs().mean()
        >>> [round(share) for share in gradient_shares(l1, *torch.rand(3, 2, 3, 8, 10))]
        [10, 10, 10, 10, 10, 10, 10, 10, 10, 10]
    """
    gradients = output_gradient(loss, sr, hr, bicubic)
    shares = [
        _shares(gradient, split_by_rank(difficulty(own, low, ranked_by).to(gradient.device)))
        for gradient, own, low in zip(gradients, hr, bicubic, strict=True)
    ]
    return torch.tensor(shares, dtype=torch.float64).mean(0).tolist()


@dataclass(frozen=True)
class ParameterGradients:
    """Norms and directions of the gradient that bands of pixels send into groups of weights.

    Attributes:
        norms: One row per image, group and tenth, columns `dataset, image, group, tenth, norm`.
            The group "all" takes in every weight.
        bands: One row per image and group, columns
            `dataset, image, group, head_norm, tail_norm, cosine`. The head are the five easiest
            tenths, the tail is the hardest; a negative cosine means that a step that helps one
            harms the other. NaN where a norm is 0.
    """

    norms: pd.DataFrame
    bands: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """Return the norms, one row per image, group and tenth."""
        return self.norms


def parameter_gradients(
    model: nn.Module,
    loss: Loss,
    pairs: Sequence[ImagePair],
    ranked_by: Ranking | Difficulty = "gradient",
    group_of: Callable[[str], str] | None = None,
) -> ParameterGradients:
    """Return what each tenth of the pixels contributes to the gradient of the weights.

    The loss's gradient at the output is set to 0 outside of a tenth and sent back through the
    network, so that the contributions of the tenths add up to the gradient of the whole loss. Ten
    backward passes an image; the whole image's activations are held in memory, so crop large
    images first. Under `torchrun` the processes share the images out.

    Args:
        model: From `(1, 3, h, w)` to the full SR image, not clamped; put into eval mode.
        loss: See `output_gradient`.
        pairs: The images.
        ranked_by: See `difficulty`.
        group_of: Name of a weight -> the group it belongs to; by default its outermost layer.

    Raises:
        InputError: A model without trainable weights.

    Example:
        >>> model = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(3, 3, 1))
        >>> pair = ImagePair("noise", torch.rand(3, 8, 8), torch.rand(3, 4, 4))
        >>> l1 = lambda sr, hr, bicubic: (sr - hr).abs().mean()
        >>> found = parameter_gradients(model, l1, [pair])
        >>> found.bands["group"].tolist(), len(found.norms)
        (['all', '1'], 20)
    """
    names = [name for name, weight in model.named_parameters() if weight.requires_grad]
    if not names:
        raise InputError("model without trainable weights, expected one or more")
    groups = {"all": list(range(len(names)))}
    for index, name in enumerate(names):
        group = group_of(name) if group_of else _outermost_layer(name, names)
        groups.setdefault(group, []).append(index)
    measure = partial(_parameter_rows, model=model, loss=loss, ranked_by=ranked_by, groups=groups)
    found = map_pairs(measure, pairs)
    image = ["dataset", "image", "group"]
    norms = [row for rows, _ in found for row in rows]
    bands = [row for _, rows in found for row in rows]
    return ParameterGradients(
        pd.DataFrame(norms, columns=[*image, "tenth", "norm"]),
        pd.DataFrame(bands, columns=[*image, "head_norm", "tail_norm", "cosine"]),
    )


def _output_shares(
    pair: ImagePair,
    losses: Mapping[str, Loss],
    model: Network,
    ranked_by: Ranking | Difficulty,
) -> list[tuple[Any, ...]]:
    hr, lr, low, parts = _prepare(pair, device_of(model), ranked_by)
    with eval_mode(model), torch.no_grad():
        sr = model(lr)
    return [
        (name, pair.dataset, pair.name, tenth, share)
        for name, loss in losses.items()
        for tenth, share in enumerate(_shares(output_gradient(loss, sr, hr, low)[0], parts), 1)
    ]


def _shares(gradient: Tensor, parts: Sequence[Tensor]) -> list[float]:
    """Return the share of each part of the pixels in one image's gradient `(C, H, W)`."""
    absolute = gradient.abs().sum(0).flatten()
    sums = torch.stack([absolute[part].cpu().double().sum() for part in parts])
    return (100 * sums / sums.sum()).tolist()


def _parameter_rows(
    pair: ImagePair,
    model: nn.Module,
    loss: Loss,
    ranked_by: Ranking | Difficulty,
    groups: Mapping[str, list[int]],
) -> list[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    hr, lr, low, parts = _prepare(pair, device_of(model), ranked_by)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    with eval_mode(model), torch.enable_grad():
        sr = model(lr)
    gradient = output_gradient(loss, sr, hr, low)
    head = [torch.zeros_like(weight) for weight in weights]
    norms: list[tuple[Any, ...]] = []
    for tenth, part in enumerate(parts, start=1):
        mask = torch.zeros(hr.shape[-2:], device=sr.device).flatten()
        mask[part] = 1
        sent = gradient * mask.reshape(hr.shape[-2:])
        found = torch.autograd.grad(
            sr, weights, sent, retain_graph=tenth < TENTHS, materialize_grads=True
        )
        if tenth <= round(HEAD * TENTHS):
            head = [sum_so_far + own for sum_so_far, own in zip(head, found, strict=True)]
        for group, members in groups.items():
            norm = _flatten(found, members).norm().item()
            norms.append((pair.dataset, pair.name, group, tenth, norm))
    bands = []
    for group, members in groups.items():
        easy, hard = _flatten(head, members), _flatten(found, members)  # found: the last tenth's
        cosine = (easy @ hard / (easy.norm() * hard.norm())).item()
        bands.append(
            (pair.dataset, pair.name, group, easy.norm().item(), hard.norm().item(), cosine)
        )
    return [(norms, bands)]


def _prepare(
    pair: ImagePair, device: torch.device, ranked_by: Ranking | Difficulty
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Return HR, LR and bicubic, batched, on the network's device, and each tenth's pixels."""
    hr, lr = (image[None].to(device) for image in (pair.hr, pair.lr))
    low = upsample_bicubic(lr, pair.scale)
    parts = split_by_rank(difficulty(hr[0], low[0], ranked_by))
    return hr, lr, low, [part.to(device) for part in parts]


def _outermost_layer(name: str, names: Sequence[str]) -> str:
    """Return the first part of a weight's name that the names of all weights do not share."""
    parts, others = name.split("."), [other.split(".") for other in names]
    for depth, part in enumerate(parts[:-1]):
        if any(other[depth : depth + 1] != [part] for other in others):
            return part
    return parts[-2] if len(parts) > 1 else name


def _flatten(gradients: Sequence[Tensor], members: Sequence[int]) -> Tensor:
    return torch.cat([gradients[index].flatten() for index in members]).double()
