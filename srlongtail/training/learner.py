"""The network in training, its loss and optimizer, and the state to resume them from."""

import copy
import math
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from srlongtail.errors import InputError, Parameter
from srlongtail.focal.weights import FocalParameters
from srlongtail.image.resample import upsample_bicubic
from srlongtail.losses.catalog import code_of, make_loss, takes_step, try_loss
from srlongtail.models.catalog import new_model
from srlongtail.models.fast.layers import prepared
from srlongtail.models.fast.patches import BicubicOfPatches
from srlongtail.models.sr_model import SRModel
from srlongtail.training.recipe import Recipe


class Objective(nn.Module):
    """The loss of a batch, as one module that can be compiled and shared over processes whole.

    Args:
        model: The network; what it predicts decides whether bicubic is added to its output.
        loss: Of the full SR image, HR and bicubic.
        enlarge: Makes bicubic of LR.
        autocast: Precision of the network; the loss is computed in float32.
        step: The iterations done, on the device; the training loop writes to it.
    """

    def __init__(
        self,
        model: SRModel,
        loss: nn.Module,
        enlarge: Callable[[Tensor], Tensor],
        autocast: torch.dtype | None,
        step: Tensor,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = loss
        self.enlarge = enlarge
        self.autocast = autocast
        self.needs_bicubic = model.predicts == "residual" or getattr(loss, "reads_bicubic", True)
        self.options = {"step": step} if takes_step(loss) else {}

    def forward(self, lr: Tensor, hr: Tensor) -> Tensor:
        """LR `(N, 3, h, w)` and HR `(N, 3, h * scale, w * scale)`, in [0, 1] -> a scalar."""
        # The cache of cast weights must not outlive the recording of a CUDA graph.
        with torch.autocast(
            lr.device.type, self.autocast, enabled=self.autocast is not None, cache_enabled=False
        ):
            output = self.model.output(lr)
        bicubic = self.enlarge(lr) if self.needs_bicubic else hr
        output = output.float()
        sr = output + bicubic if self.model.predicts == "residual" else output
        return self.loss(sr, hr, bicubic, **self.options)


class Meter:
    """Sums up the loss on the device, so that the loop need not wait for each iteration's."""

    def __init__(self, device: torch.device) -> None:
        self._sum, self._count = torch.zeros(2, dtype=torch.float64, device=device)
        self._bad = torch.zeros((), dtype=torch.float64, device=device)

    def add(self, loss: Tensor) -> None:
        """Add the loss of one iteration."""
        self._sum += loss.detach()
        self._count += 1
        self._bad += self._bad.bool() | ~loss.detach().isfinite()

    def bad(self) -> int:
        """Return the number of losses since the first non-finite one, inclusive."""
        return int(_over_processes(self._bad, dist.ReduceOp.MAX))

    def take(self) -> float:
        """Return the mean loss since the last call, over all processes."""
        total, count = (
            float(_over_processes(value, dist.ReduceOp.SUM)) for value in (self._sum, self._count)
        )
        self._sum.zero_()
        self._count.zero_()
        return total / count if count else math.nan

    def state(self) -> tuple[float, float]:
        """Return sum and count, for `restore`."""
        return float(self._sum), float(self._count)

    def restore(self, state: tuple[float, float]) -> None:
        """Continue from a `state`."""
        self._sum.fill_(state[0])
        self._count.fill_(state[1])


class Learner:
    """A fresh network with all that training changes.

    Its state restores it to the bit. The random numbers of the patches are part of it.

    Args:
        recipe: What to build; its precision "auto" is float32 here, see `settle_precision`.
        device: Where to compute.
        draws_on: Where patches are drawn, the device of the `PatchBank`.
        allow_code: Make a loss of `module:callable` although a file may have named it.

    Raises:
        InputError: The network or the loss cannot be made, or the loss fails on noise.
    """

    def __init__(
        self,
        recipe: Recipe,
        device: torch.device,
        draws_on: torch.device,
        *,
        allow_code: bool = False,
    ) -> None:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.default_generator.manual_seed(recipe.seed)  # torch.manual_seed seeds GPUs, too
            model = new_model(
                recipe.network,
                recipe.scale,
                predicts="residual" if recipe.skip else "image",
                name=recipe.name,
                **recipe.arguments,
            )
            _perturb(model, recipe.perturbation)
        prepared(model.network)
        self.model = model.to(device).train()
        self.generator = torch.Generator(draws_on).manual_seed(recipe.seed)
        self.meter = Meter(device)
        on_cuda = device.type == "cuda"
        # A CUDA graph reads the rate where it was recorded: from a tensor.
        rate = recipe.learning_rate
        lr = torch.tensor(rate, device=device) if on_cuda else rate
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=lr, fused=True, capturable=on_cuda
        )
        self.decay = recipe.ema
        self.average = copy.deepcopy(self.model) if recipe.ema else None
        autocast = torch.bfloat16 if recipe.precision == "bfloat16" else None
        enlarge: Callable[[Tensor], Tensor] = partial(upsample_bicubic, scale=recipe.scale)
        if not on_cuda:
            enlarge = BicubicOfPatches(recipe.patch, recipe.scale)
        loss = recipe_loss(recipe, allow_code=allow_code).to(device).requires_grad_(False)
        if ":" in recipe.loss:
            try_loss(loss, recipe.loss, recipe.patch * recipe.scale, device)
        self._step = torch.zeros((), dtype=torch.int64, device=device)
        objective = Objective(self.model, loss, enlarge, autocast, self._step)
        self.objective = _shared_and_compiled(objective, recipe, device)

    @property
    def evaluated_model(self) -> SRModel:
        """Return the model that is validated and saved: the moving average, if there is one."""
        return self.model if self.average is None else self.average

    @property
    def rate(self) -> float:
        """Return the learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    def prepare(self, done: int, rate: float) -> None:
        """Set the iterations done, which a loss may depend on, and the rate of the next step."""
        self._step.fill_(done)
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def update_average(self) -> None:
        """Let the moving average follow the network, where there is one."""
        if self.average is None:
            return
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - self.decay)
            for copied, buffer in zip(self.average.buffers(), self.model.buffers(), strict=True):
                copied.copy_(buffer)  # statistics of batch normalization are averages already

    def check(self, iteration: int) -> None:
        """Refuse to go on, or to save, once anything is not finite.

        Raises:
            InputError: The loss is not finite; the error names the iteration and what to try.
        """
        bad = self.meter.bad()
        weights = all(bool(p.isfinite().all()) for p in self.model.parameters())
        if bad or not weights:
            first = iteration - bad + 1 if bad else iteration
            what = "loss" if bad else "network"
            raise InputError(
                f"{self.model.name}: the {what} is not finite since iteration {first}; what was "
                f"saved before stays; try a lower ",
                Parameter("learning_rate"),
                " or ",
                Parameter("precision", "float32"),
                ", with ",
                Parameter("resume", True),
                " and ",
                Parameter("force", True),
            )

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs: tensors, numbers, and containers of them."""
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict() if self.average is not None else None,
            "adam": self.optimizer.state_dict()["state"],
            "generator": self.generator.get_state(),
            "generator_device": self.generator.device.type,
            "meter": self.meter.state(),
        }

    def restore(self, state: dict[str, Any], *, redraw: bool = False) -> None:
        """Go on from a `state`.

        Args:
            state: Of a learner of the same network.
            redraw: Draw other patches if the run drew its own on another kind of device.

        Raises:
            InputError: The state is of another network, or of another kind of device.
        """
        here, there = self.generator.device.type, state["generator_device"]
        if here == there:
            self.generator.set_state(state["generator"].cpu())
        elif redraw:
            self.generator.manual_seed(zlib.crc32(state["generator"].cpu().numpy()))
        else:
            raise InputError(
                f"the run drew its patches on {there}, where its images were, expected the same "
                f"and not {here}, or ",
                Parameter("force", True),
                " to draw others",
            )
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as error:
            problem = str(error).splitlines()[1].strip()[:200]
            raise InputError(f"the state does not fit {self.model.name}: {problem}") from error
        if self.average is not None and state["average"] is not None:
            self.average.load_state_dict(state["average"])
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["adam"], "param_groups": groups})
        self.meter.restore(state["meter"])


class Replay:
    """Calls a step; on CUDA, records it once and then replays the record, without its launches.

    The first calls run as they are, because a recording needs everything allocated and tuned.

    Args:
        step: A function without arguments; it works on tensors that stay where they are.
        generator: What the step draws from, on the CUDA device.

    Raises:
        InputError: At the first call that is not a warm-up, where a step cannot be recorded.
    """

    WARM_UP = 11  # as in torch's notes on CUDA graphs

    def __init__(self, step: Callable[[], None], generator: torch.Generator) -> None:
        self._step = step
        self._generator = generator
        self._calls = 0
        self._graph = torch.cuda.CUDAGraph()
        # One for all: each stream has its own share of the memory, and gradients belong to one.
        self._stream = torch.cuda.Stream()

    def __call__(self) -> None:
        """Take one step."""
        if self._calls < self.WARM_UP:
            self._run_aside()
        else:
            if self._calls == self.WARM_UP:
                self._record()
            self._graph.replay()
        self._calls += 1

    def _run_aside(self) -> None:
        main = torch.cuda.current_stream()
        self._stream.wait_stream(main)
        with torch.cuda.stream(self._stream):
            self._step()
        main.wait_stream(self._stream)

    def _record(self) -> None:
        self._graph.register_generator_state(self._generator)
        try:
            with torch.cuda.graph(self._graph, stream=self._stream):
                self._step()
        except RuntimeError as error:
            # To end a recording that has failed fails, too; the first error tells why.
            reason = str(error.__context__ or error).splitlines()[0]
            raise InputError(
                "an iteration cannot be recorded as a CUDA graph, expected one that can, or ",
                Parameter("cuda_graph", False),
                f": {reason}",
            ) from error


def recipe_loss(recipe: Recipe, *, allow_code: bool = False) -> nn.Module:
    """Return the loss of a recipe.

    Args:
        recipe: Names the loss, and has the parameters of FPL.
        allow_code: See `Learner`.

    Raises:
        InputError: The loss is unknown, cannot be made, or wants consent.
    """
    r = recipe
    focal = FocalParameters(
        alpha_sp=r.alpha_sp,
        gamma_sp=r.gamma_sp,
        alpha_lp=r.alpha_lp,
        gamma_lp=r.gamma_lp,
        scope="world" if dist.is_initialized() and r.scope == "batch" else r.scope,
    )
    return make_loss(r.loss_name, focal=focal, p=r.p, trusted=allow_code)


def with_loss_code(recipe: Recipe, *, allow_code: bool = False) -> Recipe:
    """Return the recipe with the hash of the file of a user's own loss.

    A run is then not resumed, nor taken for finished, with a loss that has changed meanwhile.

    Raises:
        InputError: See `recipe_loss`.
    """
    loss = recipe_loss(recipe, allow_code=allow_code)
    return replace(recipe, loss_code=code_of(loss) if ":" in recipe.loss else "")


def cosine_rate(recipe: Recipe, iteration: int) -> float:
    """Return the learning rate of an iteration, counted from 0: a half cosine to the minimum.

    Example:
        >>> cosine_rate(Recipe(learning_rate=1e-3, minimum_rate=0, iterations=10), 5)
        0.0005
    """
    fall = recipe.learning_rate - recipe.minimum_rate
    return recipe.minimum_rate + fall * (1 + math.cos(math.pi * iteration / recipe.iterations)) / 2


def _perturb(model: nn.Module, size: float) -> None:
    """Multiply every weight by 1 + size * n, where n is drawn from the normal distribution."""
    if size:
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(1 + size * torch.randn_like(weight))


def _shared_and_compiled(
    objective: Objective, recipe: Recipe, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    module: nn.Module = objective
    if dist.is_initialized():
        if device.type == "cuda":
            module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        module = DistributedDataParallel(module)
    return torch.compile(module) if recipe.compile else module


def _over_processes(value: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if not dist.is_initialized():
        return value
    value = value.clone()
    dist.all_reduce(value, operation)
    return value
