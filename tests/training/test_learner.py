"""One optimisation step, taken apart: rate, loss, averages, and what is refused."""

import math
from dataclasses import replace

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import new_model
from srlongtail.training.learner import Learner, Meter, cosine_rate
from srlongtail.training.recipe import Recipe

CPU = torch.device("cpu")


def test_the_rate_is_torch_s_cosine():
    recipe = Recipe(iterations=50, learning_rate=1e-3, minimum_rate=1e-5)
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=recipe.learning_rate)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, eta_min=1e-5)
    for iteration in range(50):
        assert cosine_rate(recipe, iteration) == pytest.approx(oracle.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        oracle.step()
    assert cosine_rate(recipe, 50) == pytest.approx(1e-5)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_objective_is_the_paper_s_loss(skip, weighted, p, small):
    recipe = replace(small, skip=skip, static=weighted, learnable=weighted, p=p, alpha_lp=0.7)
    learner = Learner(recipe, CPU, CPU)
    lr, hr = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        loss = learner.objective(lr, hr)
        bicubic, output = upsample_bicubic(lr, 4), learner.model.network(lr)

    def weight(z, alpha, gamma):
        return alpha * torch.exp(gamma * (z - z.min()) / (z.max() - z.min()))

    target = hr - bicubic if skip else hr
    expected = (output - target).abs() ** p
    if weighted:
        expected = expected * weight((hr - bicubic).abs(), 0.5, 1)
        expected = expected * weight((target - output).abs(), 0.7, 1)
    assert loss == pytest.approx(expected.mean().item(), rel=1e-5)


def test_what_the_network_predicts_follows_the_skip(small):
    assert Learner(small, CPU, CPU).model.predicts == "residual"
    assert Learner(replace(small, skip=False), CPU, CPU).model.predicts == "image"


def test_the_seed_alone_decides_the_first_weights(small):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two, other = (Learner(replace(small, seed=seed), CPU, CPU).model for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    expected = new_model("fsrcnn", 4, **small.arguments)
    for key, value in expected.state_dict().items():
        assert torch.equal(one.state_dict()[key], value)
        assert torch.equal(two.state_dict()[key], value)
    assert not torch.equal(one.network.head_conv[0].weight, other.network.head_conv[0].weight)


def test_the_moving_average(small):
    learner = Learner(replace(small, ema=0.9), CPU, CPU)
    weight = learner.model.network.tail_conv.bias
    values, average = [1.0, 2.0, 4.0], weight[0].item()  # starts at the fresh network
    for value in values:
        weight.data.fill_(value)
        learner.update_average()
        average = 0.9 * average + 0.1 * value
    shown = learner.evaluated_model.network.tail_conv.bias
    assert shown[0].item() == pytest.approx(average, rel=1e-6)
    assert learner.evaluated_model.predicts == "residual"


def test_the_meter_takes_means():
    meter = Meter(CPU)
    assert math.isnan(meter.take())
    for value in (1.0, 2.0, 6.0):
        meter.add(torch.tensor(value))
    other = Meter(CPU)
    other.restore(meter.state())
    assert meter.take() == other.take() == 3.0
    meter.add(torch.tensor(5.0))
    assert meter.take() == 5.0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_told_with_its_iteration(value, small):
    learner = Learner(small, CPU, CPU)
    for iteration in range(1, 8):
        learner.meter.add(torch.tensor(value if iteration == 5 else 0.1))
    with pytest.raises(InputError, match=r"small: the loss is not finite since iteration 5; what"):
        learner.check(7)


def test_weights_that_are_not_finite_are_not_saved(small):
    learner = Learner(small, CPU, CPU)
    learner.check(3)
    learner.model.network.tail_conv.bias.data[0] = math.nan
    with pytest.raises(InputError, match="the network is not finite since iteration 3"):
        learner.check(3)


def test_a_state_of_another_device_or_network_is_refused(small):
    state = Learner(small, CPU, CPU).state()
    elsewhere = {**state, "generator_device": "cuda"}
    with pytest.raises(InputError, match=r"patches on cuda.* and not cpu, or force=True to draw"):
        Learner(small, CPU, CPU).restore(elsewhere)
    with pytest.raises(InputError, match="the state does not fit small: ") as caught:
        Learner(replace(small, network="srresnet", arguments={}), CPU, CPU).restore(state)
    assert len(str(caught.value)) < 300

    def draws(learner):
        return torch.rand(5, generator=learner.generator)

    first, again, here = (Learner(small, CPU, CPU) for _ in range(3))
    for learner in (first, again):
        learner.restore(elsewhere, redraw=True)
    here.restore(state, redraw=True)
    numbers = draws(first)
    assert torch.equal(numbers, draws(again))
    assert not torch.equal(numbers, draws(here))
