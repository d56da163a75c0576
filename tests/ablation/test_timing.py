"""The time of a step beside one with L1, by a clock that the test moves."""

import itertools

import pytest
import torch
from torch import nn

from srlongtail.ablation import timing


class Slow(nn.Module):
    """L1 that takes two units of time."""

    clock = 0.0

    def forward(self, sr, hr, bicubic):
        """Return L1, later."""
        Slow.clock += 2
        return (sr - hr).abs().mean()


@pytest.fixture
def batch():
    """Noise: four LR and HR patches."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.rand(4, 3, size, size, generator=generator) for size in (8, 32))


@pytest.fixture
def moved_clock(monkeypatch):
    """Let time pass in the steps of Adam, one unit each, and in `Slow`."""
    step = torch.optim.Adam.step
    machine = itertools.cycle([1] * 6 + [10] * 3)  # three steps of nine meet a busy machine

    def slow_step(optimizer):
        Slow.clock += next(machine)
        return step(optimizer)

    monkeypatch.setattr(torch.optim.Adam, "step", slow_step)
    monkeypatch.setattr(timing, "process_time", lambda: Slow.clock)


@pytest.mark.usefixtures("moved_clock")
def test_steps_take_turns_and_the_middle_counts(recipe, batch):
    own = recipe.changed({"loss": f"{__name__}:Slow", "patch": 8})
    assert timing.step_time_ratio(own, *batch, allow_code=True) == pytest.approx(3)
    assert timing.step_time_ratio(
        recipe.changed({"loss": "l1", "patch": 8}), *batch
    ) == pytest.approx(1)


def test_it_draws_no_random_numbers_of_the_caller(recipe, batch):
    before = torch.get_rng_state()
    assert timing.step_time_ratio(recipe.changed({"loss": "l1", "patch": 8}), *batch) > 0
    assert torch.equal(torch.get_rng_state(), before)
