"""Training with other losses: what the trainer hands them, resumption, and what is noted."""

import sys
from dataclasses import replace

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import subject_of
from srlongtail.models.checkpoint import load_model
from srlongtail.training.interruption import StoppedError
from srlongtail.training.learner import Learner
from srlongtail.training.loop import train
from srlongtail.training.patches import PatchBank
from srlongtail.training.recipe import Recipe, find_recipe, read_recipe, write_recipe
from srlongtail.training.runfolder import folder_name

OWN = """
import torch

SEEN = []

class Mine(torch.nn.Module):
    def __init__(self, size=1.0):
        super().__init__()
        self.size = size

    def forward(self, sr, hr, bicubic, step):
        SEEN.append((sr.detach(), hr, bicubic, int(step)))
        return self.size * (1 + step) * (sr - hr).abs().mean()

class Map(torch.nn.Module):
    def forward(self, sr, hr, bicubic):
        return (sr - hr).abs()

class Broken(torch.nn.Module):
    def forward(self, sr, hr, bicubic):
        return (sr - hr[..., 1:]).mean()
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A current folder with a user's losses."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "mine.py").write_text(OWN)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield folder / "mine.py"
    sys.modules.pop("mine", None)


def weights(folder):
    return torch.load(folder / "state.pt", weights_only=True)["learner"]["model"]


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("skip", [True, False])
def test_a_loss_is_given_the_full_sr_image_hr_bicubic_and_the_step(skip, own, recipe, tmp_path):
    recipe = replace(recipe, skip=skip, iterations=2).changed({"loss": "mine:Mine"})
    model = train(recipe, tmp_path / "run", allow_code=True)
    seen = sys.modules["mine"].SEEN
    assert [entry[3] for entry in seen] == [0, 0, 1]  # once on noise, then in training
    bank, cpu = PatchBank.of(recipe), torch.device("cpu")
    lr, hr = bank.cut(bank.draw(recipe.batch, torch.Generator().manual_seed(recipe.seed)))
    untrained = Learner(recipe, cpu, cpu, allow_code=True).model
    expected = (untrained(lr), hr, upsample_bicubic(lr, 4))
    assert all(torch.allclose(*both, atol=1e-6) for both in zip(seen[1][:3], expected, strict=True))
    assert model.predicts == ("residual" if skip else "image")
    known = load_model(tmp_path / "run/checkpoint.safetensors").provenance.training
    assert known.loss == known.run["loss"] == "mine:Mine"
    assert known.arm == ("skip+mine:Mine" if skip else "mine:Mine")


def test_a_loss_of_ones_own_that_has_changed_is_not_resumed(own, recipe, tmp_path):
    recipe = recipe.changed({"loss": "mine:Mine(0.5)"})
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "run", deadline=0, allow_code=True)
    sys.modules.pop("mine")  # as in another process
    with pytest.raises(InputError, match=r"not installed; .* only with allow_code=True"):
        train(recipe, tmp_path / "run", resume=True)
    own.write_text(OWN + "\n")
    with pytest.raises(InputError, match=r"another recipe \(loss_code \w{12} -> \w{12}\)"):
        train(recipe, tmp_path / "run", resume=True, allow_code=True)
    own.write_text(OWN)
    train(read_recipe(tmp_path / "run/recipe.toml"), tmp_path / "run", resume=True, allow_code=True)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("mine:Map", r"loss mine:Map: returned a tensor of shape \(2, 3, 32, 32\), expected one"),
        ("mine:Broken", "loss mine:Broken: failed on .sr, hr, bicubic.: .*mine.py, line"),
        ("mine:Nothing", "loss mine:Nothing: mine has no attribute 'Nothing'"),
        ("torch.nn:L1Loss", "loss torch.nn:L1Loss: failed on"),
        ("charbonier", "loss 'charbonier': unknown name, did you mean 'charbonnier'"),
    ],
)
def test_losses_that_cannot_be_used_leave_no_run(loss, message, own, recipe, tmp_path):
    with pytest.raises(InputError, match=message):
        train(recipe.changed({"loss": loss}), tmp_path / "run", allow_code=True)
    assert not [path for path in (tmp_path / "run").iterdir() if path.name != ".lock"]


@pytest.mark.parametrize("loss", ["fpl-shuffled", "fpl-other-image", "hardest-half", "ssim-l1"])
def test_a_stopped_run_goes_on_to_the_same_bits(loss, recipe, tmp_path):
    recipe = replace(recipe, patch=8, iterations=4, save_every=2).changed({"loss": loss})
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "run", deadline=0)
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_with_equal_seeds_losses_begin_with_the_same_weights_and_patches(recipe):
    cpu = torch.device("cpu")
    learners = [Learner(recipe.changed({"loss": name}), cpu, cpu) for name in ("l1", "sobel")]
    one, other = (learner.model.state_dict() for learner in learners)
    assert same(one, other)
    assert torch.equal(*(learner.generator.get_state() for learner in learners))


def test_perturbed_weights_differ_by_that_share(recipe):
    cpu = torch.device("cpu")
    plain, noisy, again = (
        Learner(replace(recipe, perturbation=size), cpu, cpu) for size in (0.0, 1e-3, 1e-3)
    )
    state = plain.model.state_dict()
    shares = torch.cat(
        [
            ((value - state[key]) / state[key])[state[key] != 0].flatten()
            for key, value in noisy.model.state_dict().items()
        ]
    )
    assert shares.std().item() == pytest.approx(1e-3, rel=0.2)
    assert abs(shares.mean().item()) < 3e-4
    assert same(noisy.model.state_dict(), again.model.state_dict())
    assert torch.equal(plain.generator.get_state(), noisy.generator.get_state())


def test_names_of_the_parts_of_fpl_are_their_settings():
    fpl, skip = find_recipe("fsrcnn-fpl-x4"), find_recipe("fsrcnn-skip-x4")
    assert replace(skip.changed({"loss": "fpl"}), name=fpl.name) == fpl
    assert replace(fpl.changed({"loss": "l1"}), name=skip.name) == skip
    assert replace(fpl, loss="l1", name=skip.name) == skip
    assert skip.changed({"loss": "l2"}) == replace(skip, p=2)
    names = ["l1", "l2", "static", "learnable", "fpl", "sobel", "mine:Mine"]
    assert [skip.changed({"loss": name}).loss_name for name in names] == names
    assert fpl.changed({"loss": "sobel"}).static is False
    for changes, message in (
        ({"loss": "sobel", "static": True}, "recipe: static True, expected False with loss sobel"),
        ({"loss": "l1", "p": 2}, "recipe: p 2, expected 1 with loss l1"),
    ):
        with pytest.raises(InputError, match=message):
            skip.changed(changes)
    with pytest.raises(InputError, match="loss 'sobel', expected none where static or learnable"):
        replace(fpl, loss="sobel")


def test_a_loss_is_kept_in_toml(tmp_path):
    recipe = Recipe(skip=True, loss="error-power(power=0.3)", perturbation=1e-6)
    write_recipe(tmp_path / "recipe.toml", recipe)
    assert read_recipe(tmp_path / "recipe.toml") == recipe


def test_runs_of_other_losses_have_other_folders():
    recipe = find_recipe("fsrcnn-fpl-x4")
    others = [recipe.changed({"loss": name}) for name in ("sobel", "l1", "gradient")]
    names = {folder_name(r, {}) for r in (recipe, replace(recipe, perturbation=1e-6), *others)}
    assert len(names) == 5


def test_figures_tell_losses_apart(recipe, tmp_path):
    labels = []
    for loss in ("l1", "sobel", "fpl"):
        small = replace(recipe, iterations=1).changed({"loss": loss})
        labels.append(subject_of(train(small, tmp_path / loss)).label)
    assert labels == ["FSRCNN+skip", "FSRCNN+skip+sobel", "FSRCNN+FPL"]
