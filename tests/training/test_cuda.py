"""What only a CUDA device can show: run with `-m gpu`."""

from dataclasses import replace

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.losses.catalog import LOSSES, make_loss
from srlongtail.training.interruption import StoppedError
from srlongtail.training.learner import Replay
from srlongtail.training.loop import train
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import RECIPES, find_recipe

pytestmark = pytest.mark.gpu

ITERATIONS = 3 * Replay.WARM_UP


def close(one, other, tolerance=1e-4):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.allclose(a.cpu(), b.cpu(), atol=tolerance) for a, b in pairs)


@pytest.fixture
def exact(recipe, monkeypatch):
    """The small run, long enough to be replayed, in full precision."""
    # Else convolutions round to 10 bits, each algorithm in its own way.
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    return replace(recipe, iterations=ITERATIONS, precision="float32", learning_rate=1e-4)


def test_patches_are_cut_as_on_the_cpu():
    there, here = PatchBank(photos(4), device="cuda"), PatchBank(photos(4))
    places = there.draw(64, torch.Generator("cuda").manual_seed(0))
    for one, other in zip(there.cut(places), here.cut(places.cpu()), strict=True):
        assert one.is_cuda
        assert torch.allclose(one.cpu(), other, atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{}, {"accumulate": 2}, {"ema": 0.9}, {"compile": True}], ids=str
)
def test_replaying_an_iteration_trains_as_running_it_does(exact, changes, tmp_path):
    exact = replace(exact, **changes)
    replayed = train(exact, tmp_path / "replayed", device="cuda")
    run = train(replace(exact, cuda_graph=False), tmp_path / "run", device="cuda")
    assert close(replayed, run)


def test_a_replayed_run_goes_on_where_it_stopped(exact, tmp_path):
    def stop_late(line):
        if line.startswith("18/"):
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError, match="stopped after 19"):
        train(exact, tmp_path / "run", device="cuda", tell=stop_late)
    resumed = train(exact, tmp_path / "run", device="cuda", resume=True)
    assert close(resumed, train(exact, tmp_path / "whole", device="cuda"))


@pytest.mark.parametrize("network", sorted({recipe.network for recipe in RECIPES.values()}))
def test_every_network_can_be_recorded(network, recipe, tmp_path):
    # BSRN needs 15 LR pixels, and SwinIR blocks of 8.
    changes = {"patch": 16, "validation": "", "validate_every": 10**6}
    recipe = replace(recipe, network=network, arguments={}, iterations=ITERATIONS, **changes)
    bank = PatchBank(photos(4), recipe.patch, "cuda")
    model = train(recipe, tmp_path, device="cuda", find_bank=lambda *_: bank)
    assert all(p.isfinite().all() for p in model.parameters())
    assert model.device.type == "cuda"


def test_a_step_that_cannot_be_recorded_says_why():
    x = torch.ones(1, device="cuda")
    replay = Replay(lambda: float(x), torch.Generator("cuda"))
    for _ in range(Replay.WARM_UP):
        replay()
    with pytest.raises(InputError, match=r"cannot be recorded as a CUDA graph.*captur"):
        replay()


def test_patches_for_the_host_have_arrived():
    bank = PatchBank(photos(4), device="cuda")
    places = bank.draw(256, torch.Generator("cuda").manual_seed(0))
    there = bank.cut(places)
    for one, other in zip(bank.cut(places, "cpu"), there, strict=True):
        assert one.device.type == "cpu"
        assert torch.allclose(one, other.cpu(), atol=1e-6)


def test_images_that_do_not_fit_stay_on_the_host(exact, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (1000, 1000))
    with pytest.warns(UserWarning, match="they stay in host memory"):
        model = train(exact, tmp_path, device="cuda")
    assert model.device.type == "cuda"


@pytest.mark.benchmark
def test_the_paper_s_schedule_in_minutes(tmp_path):
    recipe = replace(
        find_recipe("fsrcnn-fpl-x4"), iterations=20_000, log_every=2000, validate_every=20_000
    )
    bank = PatchBank(photos(4), recipe.patch, "cuda")
    train(recipe, tmp_path, device="cuda", find_bank=lambda *_: bank)
    last = (tmp_path / "log.csv").read_text().splitlines()[-2].split(",")
    minutes = recipe.iterations * 25 / float(last[2]) / 60
    print(f"\nFSRCNN + FPL: {float(last[2]):.0f} it/s, 500K in {minutes:.1f} minutes")
    assert minutes < 6  # on an H100


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_those_of_the_cpu(name):
    images = torch.rand(3, 2, 3, 32, 32, generator=torch.manual_seed(0))
    found = []
    for sr, hr, bicubic in (images, images.cuda()):
        sr = sr.clone().requires_grad_()
        value = make_loss(name)(sr, hr, bicubic)
        value.backward()
        found.append((value.cpu(), sr.grad.cpu()))
    (value, gradient), (here, expected) = found
    assert torch.allclose(value, here, rtol=1e-5)
    assert torch.allclose(gradient, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_an_iteration_with_any_loss_can_be_recorded(name, exact, tmp_path):
    exact = exact.changed({"loss": name})
    replayed = train(exact, tmp_path / "replayed", device="cuda")
    run = train(replace(exact, cuda_graph=False), tmp_path / "run", device="cuda")
    assert close(replayed, run)


def test_auto_is_bfloat16(exact, tmp_path):
    model = train(replace(exact, precision="auto"), tmp_path, device="cuda")
    assert model.provenance.training.precision == "bfloat16"
