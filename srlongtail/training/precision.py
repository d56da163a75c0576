"""What the precision "auto" of a recipe stands for, on a device, for a run or a grid of runs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from time import process_time
from typing import Any, Literal

import torch
import torch.distributed as dist

from srlongtail.files import replacing
from srlongtail.models.facts import Provenance
from srlongtail.models.state import read_state
from srlongtail.parallel import is_writer
from srlongtail.training.learner import Learner
from srlongtail.training.lock import locked
from srlongtail.training.recipe import Recipe

Settled = Literal["float32", "bfloat16"]

_WORTH = 1.1  # bfloat16 has to be this much faster
_PATCHES = 4  # enough to tell, and few enough for large networks
_ROUNDS = 3


def settle_precision(
    recipe: Recipe, device: torch.device, tell: Callable[[str], object] | None = None
) -> Settled:
    """Return the precision of a new run.

    "auto" is bfloat16 on CUDA. On a CPU it is bfloat16 if the CPU has instructions for it
    (avx512_bf16 or AMX) and a short measurement of training steps says that it is faster.

    Args:
        recipe: Of the run.
        device: Where it trains.
        tell: Is called with a line of text about the measurement.
    """
    if recipe.precision != "auto":
        return recipe.precision
    if device.type != "cpu":
        return "bfloat16" if device.type == "cuda" else "float32"
    if not has_bfloat16():
        return "float32"
    speedup = speedup_of_bfloat16(recipe)
    settled: Settled = "bfloat16" if speedup >= _WORTH else "float32"
    if tell is not None and is_writer():
        tell(f"precision {settled}: bfloat16 is {speedup:.2f} times as fast as float32 here")
    return settled


def settle_grid_precision(
    out: Path,
    recipe: Recipe,
    runs: Iterable[Path],
    device: torch.device,
    tell: Callable[[str], object] | None = None,
) -> Settled:
    """Return the one precision of all runs of a grid, in whichever process and at any time.

    That of the runs that are there already, else as `settle_precision` decides. It is noted in the
    grid's folder, in `precision.txt`.

    Args:
        out: Folder of the grid.
        recipe: A run of the grid.
        runs: Folders of runs, some of which may not be there.
        device, tell: See `settle_precision`.
    """
    if recipe.precision != "auto":
        return recipe.precision
    note = out / "precision.txt"
    with locked(out, wait=True):
        if note.is_file():
            return "bfloat16" if note.read_text().strip() == "bfloat16" else "float32"
        known = (precision_of(run / "checkpoint.safetensors") for run in runs)
        before: Settled | None = next(filter(None, known), None)
        settled = before or settle_precision(recipe, device, tell)
        with replacing(note) as temporary:
            temporary.write_text(settled + "\n")
    return settled


def precision_of(checkpoint: Path) -> Settled | None:
    """Return the precision that a network was trained in; None if there is no such file."""
    if not checkpoint.is_file():
        return None
    training = Provenance.from_header(read_state(checkpoint)[1].get("provenance", {})).training
    return "bfloat16" if training is not None and training.precision == "bfloat16" else "float32"


def has_bfloat16() -> bool:
    """Return whether the CPU computes with bfloat16 numbers in hardware."""
    known: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


def speedup_of_bfloat16(recipe: Recipe) -> float:
    """Return the time of a training step on the CPU in float32, divided by that in bfloat16.

    CPU time of the shortest of a few steps by turns, on a few patches, so that what else the
    computer is busy with hardly matters. All processes of a distributed run get the first one's
    result.
    """
    cpu, patches = torch.device("cpu"), min(_PATCHES, recipe.batch)
    short = replace(recipe.changed({"loss": "l1"}), compile=False, ema=0.0)
    learners = [
        Learner(replace(short, precision=precision), cpu, cpu)
        for precision in ("float32", "bfloat16")
    ]
    generator = torch.Generator().manual_seed(0)
    lr, hr = (
        torch.rand(patches, 3, side, side, generator=generator).to(
            memory_format=torch.channels_last
        )
        for side in (recipe.patch, recipe.patch * recipe.scale)
    )
    times: list[list[float]] = []
    for _ in range(_ROUNDS + 1):
        times.append([])
        for learner in learners:
            start = process_time()
            learner.optimizer.zero_grad()
            learner.objective(lr, hr).backward()
            learner.optimizer.step()
            times[-1].append(process_time() - start)
    float32, bfloat16 = (min(column) for column in zip(*times[1:], strict=True))
    found = [float32 / max(bfloat16, 1e-9)]
    if dist.is_initialized():
        dist.broadcast_object_list(found)
    return found[0]
