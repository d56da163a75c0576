"""Faithfulness of an attribution: deletion and insertion curves, and captum's measures."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import nan
from typing import Literal, NamedTuple

import captum.metrics as cm
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from torch import Tensor

from srlongtail.attribution.integral import images_at_once
from srlongtail.errors import InputError

Score = Callable[[Tensor], Tensor]
"""LR images `(N, 3, h, w)` -> the target's value for each, `(N,)`."""

NOISE = 0.02  # largest change of a pixel for sensitivity; captum's default

_POINTS = 24  # points of a curve, denser at its start
_SHARE_BLURRED = 0.2  # share of the pixels blurred at random for infidelity


class Curve(NamedTuple):
    """The target as a function of the share of pixels that are deleted or inserted.

    Attributes:
        share: Share of the pixels changed, 0 to 1.
        value: The target, scaled: 1 for the image, 0 for its blurred version.
    """

    share: NDArray[np.float64]
    value: NDArray[np.float64]

    @property
    def area(self) -> float:
        """Area under the curve: lower is better for deletion, higher for insertion."""
        return float(trapezoid(self.value, self.share))


def pixel_curve(
    score: Score,
    image: Tensor,
    blurred: Tensor,
    order: Tensor,
    kind: Literal["deletion", "insertion"],
) -> Curve:
    """Measure the target while pixels are blurred (deletion) or restored (insertion) in order.

    A blurred pixel stands for a missing one, as at the start of LAM's path. Source: Petsiuk, Das,
    Saenko, "RISE", BMVC 2018.

    Args:
        score: The target.
        image, blurred: `(3, h, w)`.
        order: Pixel indices in row-major order, the first to change first; other pixels stay.
        kind: "deletion" starts from the image, "insertion" from the blurred image.

    Raises:
        InputError: The target is the same for both images.

    Example:
        >>> image, blurred = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
        >>> total = lambda lr: lr.sum((1, 2, 3))
        >>> pixel_curve(total, image, blurred, torch.arange(4), "deletion").value.tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    before, after = (image, blurred) if kind == "deletion" else (blurred, image)
    rank = torch.full((image[0].numel(),), len(order), device=image.device)
    rank[order] = torch.arange(len(order), device=image.device)
    rank = rank.reshape(image.shape[-2:])
    counts = np.unique(np.geomspace(1, len(order) + 1, _POINTS).round().astype(int)) - 1
    at_once = images_at_once(image)
    with torch.no_grad():
        low, high = (float(score(end[None])) for end in (blurred, image))
        if low == high:
            raise InputError(
                f"the target is {low:g} for both the image and the blurred image, expected a "
                f"target that blurring changes"
            )
        values = [
            score(torch.stack([torch.where(rank < n, after, before) for n in some]))
            for some in np.array_split(counts, -(-len(counts) // at_once))
        ]
    value = (torch.cat(values).double().cpu().numpy() - low) / (high - low)
    return Curve(counts / len(order), value)


def infidelity(
    score: Score,
    image: Tensor,
    blurred: Tensor,
    attributions: Tensor,
    *,
    baseline: Tensor | None = None,
    samples: int = 50,
    seed: int = 0,
) -> float:
    """Return captum's normalized infidelity relative to that of all-zero attributions, 0 to 1.

    A fifth of the pixels is blurred at random, and the target's change is compared with the change
    that the attributions predict. 0: the attributions predict all changes up to a factor. 1: they
    predict none. Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations",
    NeurIPS 2019.

    Args:
        score: The target.
        image, blurred, attributions: `(3, h, w)`.
        baseline: Reference image, if the attributions are contributions relative to one; None if
            they are slopes.
        samples: Number of random changes.
        seed: Seed of the random changes.

    Example:
        >>> image, blurred = torch.rand(2, 3, 8, 8)
        >>> slopes = torch.ones(3, 8, 8)
        >>> round(infidelity(lambda lr: lr.sum((1, 2, 3)), image, blurred, slopes), 6)
        0.0
    """

    @cm.infidelity_perturb_func_decorator(multiply_by_inputs=baseline is not None)
    def blur_some(images: Tensor, _: Tensor | None = None) -> Tensor:
        chosen = torch.rand(len(images), 1, *images.shape[-2:], device=images.device)
        return torch.where(chosen < _SHARE_BLURRED, blurred, images)

    unexplained = []
    for tried in (attributions, torch.zeros_like(attributions)):
        with seeded(seed):
            found = cm.infidelity(
                score,
                blur_some,
                image[None],
                tried[None],
                baselines=None if baseline is None else baseline[None],
                n_perturb_samples=samples,
                max_examples_per_batch=min(images_at_once(image), samples),
                normalize=True,
            )
        unexplained.append(max(float(found), 0.0))  # rounding can make it slightly negative
    return unexplained[0] / unexplained[1] if unexplained[1] > 0 else nan


def sensitivity(
    explain: Callable[[Tensor], Tensor], image: Tensor, *, samples: int = 10, seed: int = 0
) -> float:
    """Return captum's largest relative change of attributions if every pixel changes by up to 0.02.

    Args:
        explain: Images `(1, 3, h, w)` -> attributions of the same shape.
        image: `(3, h, w)`.
        samples: Number of random changes.
        seed: Seed of the changes, and of explanations that use random numbers.

    Example:
        >>> sensitivity(torch.ones_like, torch.rand(3, 8, 8))
        0.0
    """

    def explain_as_captum_asks(images: Tensor | tuple[Tensor]) -> Tensor | tuple[Tensor]:
        # Contiguous, because captum takes views of what it gets, whatever layout a network has.
        if isinstance(images, tuple):
            return (explain(images[0]).contiguous(),)
        return explain(images).contiguous()

    with seeded(seed):
        return float(
            cm.sensitivity_max(
                explain_as_captum_asks,
                image[None],
                perturb_radius=NOISE,
                n_perturb_samples=samples,
                max_examples_per_batch=1,
            )
        )


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of torch and NumPy, which captum uses; restore them at the end.

    Example:
        >>> with seeded(1):
        ...     first = torch.rand(1)
        >>> with seeded(1):
        ...     bool(torch.rand(1) == first)
        True
    """
    state = np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
