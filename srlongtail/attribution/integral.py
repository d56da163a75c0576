"""The path integral of gradients, computed in batches that fit in memory."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from srlongtail.attribution.path import Path
from srlongtail.attribution.receptive_field import output_scale
from srlongtail.attribution.target import GradientDetector, Target
from srlongtail.device import is_out_of_memory
from srlongtail.errors import InputError
from srlongtail.geometry import Box

Model = Callable[[Tensor], Tensor]
"""Any callable that maps LR images `(N, 3, h, w)` to SR `(N, 3, h * scale, w * scale)`."""

# LR pixels in one pass. On a CPU, larger passes exceed the cache and are slower.
_PIXELS_AT_ONCE = {"cuda": 2**18}
_PIXELS_ELSEWHERE = 2**12


@dataclass(frozen=True)
class PathIntegral:
    """Attributions of N images, and diagnostics of their path.

    Attributes:
        attributions: `(N, C, h, w)`.
        start, end: The target's value at the two ends of the path, `(N,)`.
        nan_steps: Number of steps whose gradient had a NaN, which was replaced by 0, `(N,)`.
        flat_steps: Number of steps at which the target had an infinite slope, `(N,)`.
    """

    attributions: Tensor
    start: Tensor
    end: Tensor
    nan_steps: Tensor
    flat_steps: Tensor


@dataclass(frozen=True)
class Line:
    """The points of a path of images, on a part of them.

    Args:
        path: The path.
        images: `(N, C, h, w)`.
        n_steps: Number of steps between its ends.
        inside: The part; the path is still that of the whole images.

    Example:
        >>> from srlongtail.attribution.path import LinearPath
        >>> line = Line(LinearPath(), torch.ones(1, 1, 2, 2), n_steps=4)
        >>> line.points(0, 4)[:, 0, 0, 0, 0]
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """

    path: Path
    images: Tensor
    n_steps: int
    inside: Box | None = None

    def points(self, first: int, last: int) -> Tensor:
        """Return the points number `first` to `last`, `(T, N, C, h, w)`."""
        positions = torch.arange(first, last + 1, dtype=torch.float64) / self.n_steps
        whole = self.path(self.images, positions)
        return self.inside.cut(whole) if self.inside else whole

    def steps(self, first: int, last: int, every: bool = False) -> tuple[Tensor, Tensor]:
        """Return the points that steps between two points lead to, and the steps themselves.

        Steps that change no pixel by more than a rounding error are left out unless `every`.
        """
        points = self.points(first, last)
        moves = points.diff(dim=0)
        rounding = torch.finfo(points.dtype).eps * points.abs().max()
        chosen = (moves.flatten(1).abs().amax(1) > rounding) | every
        return points[1:][chosen], moves[chosen]


def integrate(
    model: Model,
    target: Target,
    images: Tensor,
    path: Path,
    n_steps: int,
    *,
    internal_batch_size: int | None = None,
    inside: Box | None = None,
    every_step: bool = False,
) -> PathIntegral:
    """Return sum_i grad F(p_i) * (p_i - p_{i-1}), the right Riemann sum over the points p_0 to p_n.

    F is the target of the model's output. Steps that change no pixel by more than a rounding error,
    such as the last steps of the blur path, are skipped.

    Args:
        model: LR -> SR.
        target: SR -> `(N,)`.
        images: `(N, C, h, w)`.
        path: The path that the points lie on.
        n_steps: n, at least 1.
        internal_batch_size: Number of images in one pass of the model (at least one step of all
            N); default: what suits the device. It is halved, with a warning, if memory is short.
        inside: Integrate over this part of the images; the path is still that of the whole images.
        every_step: Skip no step.

    Raises:
        InputError: `images` is not a batch, `n_steps` is below 1, the output has the wrong size, or
            the target is not one finite number per image.
    """
    if images.dim() != 4:
        raise InputError(f"images of shape {tuple(images.shape)}, expected (N, C, h, w)")
    for name, count in (("n_steps", n_steps), ("internal_batch_size", internal_batch_size)):
        if count is not None and count < 1:
            raise InputError(f"{name} {count}, expected at least 1")

    line = Line(path, images.detach(), n_steps, inside)
    with torch.no_grad():
        start, end = (target_values(model, target, line.points(i, i)[0]) for i in (0, n_steps))
    total = torch.zeros_like(line.points(0, 0)[0])
    nan_steps, flat_steps = torch.zeros(2, len(images), dtype=torch.long, device=images.device)
    at_once = max(1, (internal_batch_size or images_at_once(total)) // len(images))
    done, overwrites = 0, False
    while done < n_steps:
        last = min(done + at_once, n_steps)
        points, moves = line.steps(done, last, every_step)
        if len(points):
            try:
                gradients, flat = _gradients(model, target, points)
            except RuntimeError as error:
                if not overwrites and modified_in_place(error):
                    model, overwrites = keeping_saved(model), True
                    continue
                if at_once == 1 or not is_out_of_memory(error):
                    raise
                at_once //= 2
                warnings.warn(
                    f"memory is short; {at_once * len(images)} images at a time", stacklevel=2
                )
                continue
            undefined = gradients.isnan()
            total += torch.where(undefined, 0, gradients * moves).sum(0)
            nan_steps += undefined.flatten(2).any(2).sum(0)
            flat_steps += flat.sum(0)
        done = last
    return PathIntegral(total, start, end, nan_steps, flat_steps)


def target_values(model: Model, target: Target, lr: Tensor) -> Tensor:
    """Return the target of the model's output, `(N, 3, h, w)` -> `(N,)`; all values are finite.

    Example:
        >>> target_values(torch.nn.Identity(), lambda sr: sr.sum((1, 2, 3)), torch.ones(2, 3, 4, 4))
        tensor([48., 48.])
    """
    sr = model(lr)
    output_scale(lr, sr)
    values = target(sr)
    if values.shape != lr.shape[:1]:
        raise InputError(
            f"the target gave {tuple(values.shape)} for {len(lr)} images, expected ({len(lr)},)"
        )
    if not values.isfinite().all():
        raise InputError(f"the target is {values.tolist()}, expected finite numbers")
    return values


def images_at_once(like: Tensor) -> int:
    """Return the number of LR images of this size for one pass of a network on this device.

    Example:
        >>> images_at_once(torch.rand(3, 32, 32))
        4
    """
    pixels = _PIXELS_AT_ONCE.get(like.device.type, _PIXELS_ELSEWHERE)
    return max(1, pixels // (like.shape[-2] * like.shape[-1]))


def keeping_input(model: Model) -> Model:
    """Return the model with its input protected: some networks overwrite the images they get.

    Example:
        >>> images = torch.ones(1, 3, 2, 2)
        >>> keeping_input(lambda lr: lr.mul_(0))(images).sum(), images.sum()
        (tensor(0.), tensor(12.))
    """
    return lambda lr: model(lr.clone())


def keeping_saved(model: Model) -> Model:
    """Return a model whose gradient is correct even if it overwrites tensors the gradient needs.

    Every tensor that autograd saves is copied at once, which costs memory. PyTorch's own
    `allow_mutation_on_saved_tensors` copies only tensors that are overwritten later, but identifies
    tensors by their addresses. Over many passes, which reuse memory, it was seen to mix them up.

    Example:
        >>> model = lambda lr: lr.sigmoid().mul_(2)
        >>> lr = torch.zeros(1, 1, 1, 1, requires_grad=True)
        >>> torch.autograd.grad(keeping_saved(model)(lr).sum(), lr)[0].item()
        0.5
    """

    def run(lr: Tensor) -> Tensor:
        with torch.autograd.graph.saved_tensors_hooks(torch.clone, lambda saved: saved):
            return model(lr)

    return run


def gradients_at(model: Model, target: Target, lr: Tensor) -> tuple[Tensor, Tensor]:
    """Return the target's gradients at images `(N, C, h, w)`, and the model's output.

    Raises:
        InputError: Autograd finds no dependence of the output on the input.

    Example:
        >>> images = torch.ones(1, 3, 1, 1)
        >>> gradients_at(torch.nn.Identity(), lambda sr: sr.sum(), images)[0].flatten()
        tensor([1., 1., 1.])
    """
    with torch.enable_grad():
        leaf = lr.detach().requires_grad_()
        sr = keeping_input(model)(leaf)
        total = target(sr).sum()
        gradients = None
        if total.requires_grad:
            (gradients,) = torch.autograd.grad(total, leaf, allow_unused=True)
    if gradients is None:
        raise InputError(
            "the network's output has no gradient, which attribution needs: is the "
            "output computed under torch.no_grad or torch.inference_mode, in NumPy, or detached?"
        )
    return gradients, sr.detach()


def modified_in_place(error: RuntimeError) -> bool:
    """Return whether autograd failed because a network overwrote a tensor its gradient needs."""
    return "modified by an inplace operation" in str(error)


def _gradients(model: Model, target: Target, points: Tensor) -> tuple[Tensor, Tensor]:
    """Return gradients at points `(T, N, C, h, w)`, and whether the target was flat, `(T, N)`."""
    lr = points.flatten(0, 1)
    gradients, sr = gradients_at(model, target, lr)
    flat = torch.zeros(len(lr), dtype=torch.bool, device=lr.device)
    if isinstance(target, GradientDetector):
        flat = target.is_flat(sr)
    return gradients.reshape(points.shape), flat.reshape(points.shape[:2])
