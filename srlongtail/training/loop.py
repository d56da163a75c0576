"""Training: one loop that reads top to bottom."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from srlongtail.device import find_device, is_out_of_memory
from srlongtail.errors import InputError, Parameter
from srlongtail.models.catalog import check_arguments
from srlongtail.models.sr_model import SRModel
from srlongtail.parallel import is_writer, process_group
from srlongtail.training.interruption import Interruption, StoppedError
from srlongtail.training.learner import Learner, Replay, cosine_rate, with_loss_code
from srlongtail.training.patches import PatchBank
from srlongtail.training.precision import Settled, settle_precision
from srlongtail.training.recipe import Recipe
from srlongtail.training.report import Report
from srlongtail.training.runfolder import RunFolder


def train(
    recipe: Recipe,
    out: str | os.PathLike[str],
    *,
    resume: bool = False,
    force: bool = False,
    device: str | None = None,
    find_bank: Callable[[Recipe, torch.device], PatchBank] = PatchBank.of,
    deadline: float = math.inf,
    tell: Callable[[str], object] | None = None,
    allow_code: bool = False,
    precision: Settled | None = None,
) -> SRModel:
    """Train a network as a recipe says, into a run folder.

    On the CPU a run that was interrupted, in whatever way, and resumed ends in the same bits as
    one that never was, on the same machine with as many threads. Under `torchrun` the processes
    share out each batch, and the first one writes; batch normalization is over the whole batch on
    CUDA, and over each process's own share on the CPU.

    Args:
        recipe: What to train.
        out: The run folder.
        resume: Go on where the run in the folder stopped; without a run there, begin one.
        force: Go on even if the recipe or the training images have changed.
        device: "cpu", "cuda", "cuda:1", ...; by default CUDA if available.
        find_bank: Returns the recipe's training images; `SharedBank.of` if runs share them.
        deadline: When to stop as if by Ctrl-C, on the clock of `time.monotonic`.
        tell: Called with a line of text after each validation, and where there is nothing to do.
        allow_code: Import and call a loss `module:callable` although a file may have named it; see
            `Call.import_and_call`.
        precision: What "auto" of the recipe stands for in a new run; by default what
            `settle_precision` finds.

    Returns:
        The trained model, in eval mode; its provenance tells how it came to be.

    Raises:
        InUseError: Another process trains into the folder.
        InputError: Something in the recipe, the data or the folder cannot be used, a file cannot
            be written, or the loss is not finite.
        StoppedError: By Ctrl-C, SIGTERM or the deadline, after the state was saved.
    """
    run = RunFolder(out)
    with contextlib.ExitStack() as stack:
        stack.enter_context(process_group())
        stack.enter_context(run.locked())
        where = find_device(device)
        stack.enter_context(_fastest_convolutions())
        rank, processes = _place(recipe)
        recipe = with_loss_code(recipe, allow_code=allow_code)
        state = run.find_state(recipe, resume=resume, force=force)
        check_arguments(recipe.network, recipe.arguments)
        bank = find_bank(recipe, where)
        bank.check(recipe)
        stack.enter_context(_enough_memory(recipe))
        settled = _precision(recipe, where, state, precision, tell)
        learner = Learner(
            replace(recipe, precision=settled), where, bank.device, allow_code=allow_code
        )
        done = _restore(learner, bank, state, force, run.path) if state else 0
        interruption = stack.enter_context(Interruption(deadline))
        report = stack.enter_context(
            Report(recipe, run, bank, settled, done, state and state["report"], tell)
        )
        run.begin(recipe, done)

        def step() -> None:
            places = bank.draw(recipe.batch, learner.generator)[rank::processes]
            learner.optimizer.zero_grad()
            losses = []
            for part in places.chunk(recipe.accumulate):
                lr, hr = bank.cut(part, where)
                loss = learner.objective(lr, hr)
                (loss / recipe.accumulate).backward()
                losses.append(loss.detach())
            learner.optimizer.step()
            learner.update_average()
            learner.meter.add(torch.stack(losses).mean())

        replayable = where.type == bank.device.type == "cuda" and processes == 1
        next_step = Replay(step, learner.generator) if replayable and recipe.cuda_graph else step

        if not done:
            report.row(0, learner, validate=True)
        if done == recipe.iterations and tell is not None and is_writer():
            tell(f"{run.path}: nothing to do, all {done:,} iterations are done")
        for iteration in range(done + 1, recipe.iterations + 1):
            learner.prepare(iteration - 1, cosine_rate(recipe, iteration - 1))
            next_step()
            report.step()

            stop = interruption.asked(iteration)
            logs = recipe.is_due(recipe.log_interval, iteration)
            validates = recipe.is_due(recipe.validation_interval, iteration)
            saves = recipe.is_due(recipe.save_every, iteration) or stop
            keeps = recipe.is_due(recipe.keep_every, iteration)
            if logs or validates or saves or keeps:
                learner.check(iteration)
            if logs or validates:
                report.row(iteration, learner, validate=validates)
            if saves:
                run.save(
                    report.with_provenance(learner, iteration),
                    _state(iteration, learner, bank, report, settled),
                )
            if keeps:
                run.keep(report.with_provenance(learner, iteration), iteration)
            if stop and iteration < recipe.iterations:
                raise StoppedError(
                    f"{run.path}: stopped after {iteration} of {recipe.iterations} iterations",
                    interruption.code,
                )
        return report.with_provenance(learner, recipe.iterations).eval()


def _place(recipe: Recipe) -> tuple[int, int]:
    """Return this process's number and how many there are; the batch is shared out evenly."""
    if not dist.is_initialized():
        return 0, 1
    processes = dist.get_world_size()
    if recipe.batch % (processes * recipe.accumulate):
        raise InputError(
            f"{recipe.name}: batch {recipe.batch}, expected a multiple of {processes} processes x "
            f"{recipe.accumulate} accumulated parts"
        )
    return dist.get_rank(), processes


def _precision(
    recipe: Recipe,
    device: torch.device,
    state: Mapping[str, Any] | None,
    precision: Settled | None,
    tell: Callable[[str], object] | None,
) -> Settled:
    """Return the recipe's precision, else that of the state, so that a resumed run keeps it."""
    if recipe.precision != "auto":
        return recipe.precision
    if state is None:
        return precision or settle_precision(recipe, device, tell)
    # Runs from before this was noted: what "auto" then stood for.
    return state.get("precision", "bfloat16" if device.type == "cuda" else "float32")


def _state(
    iteration: int, learner: Learner, bank: PatchBank, report: Report, precision: Settled
) -> dict[str, Any]:
    return {
        "iteration": iteration,
        "precision": precision,
        "learner": learner.state(),
        "data": bank.source,
        "report": report.state(),
    }


def _restore(
    learner: Learner, bank: PatchBank, state: dict[str, Any], force: bool, path: Path
) -> int:
    """Bring the learner back to a state, and return the iterations done then."""
    if state["data"] != bank.source and not force:
        raise InputError(
            f"{path}: the run saw other training images ({_images(state['data'])}) than now "
            f"({_images(bank.source)}), expected the same ones, below folders of the same names, "
            f"or ",
            Parameter("force", True),
            " to go on all the same",
        )
    learner.restore(state["learner"], redraw=force)
    return state["iteration"]


@contextlib.contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN measure which algorithm is the fastest, since all batches have one size."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


@contextlib.contextmanager
def _enough_memory(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{recipe.name}: a batch of {recipe.batch} in {recipe.accumulate} parts does not fit "
            f"into memory, expected a larger ",
            Parameter("accumulate"),
            " or a smaller ",
            Parameter("batch"),
            f": {reason}",
        ) from error


def _images(source: Mapping[str, Any]) -> str:
    folders = source.get("folders", {})
    return ", ".join(f"{name}: {count}" for name, count in folders.items()) or "unnamed"
