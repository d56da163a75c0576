"""Loading and saving: ours, foreign ones in every wrapping, and files that are none."""

import importlib
import importlib.util
import os
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from srlongtail.errors import InputError
from srlongtail.models import checkpoint, find
from srlongtail.models.catalog import CATALOG, build, new_model
from srlongtail.models.checkpoint import load_model, load_models, save_model
from srlongtail.models.complexity import count_operations, count_parameters
from srlongtail.models.facts import Training
from srlongtail.models.fast.layers import prepared
from srlongtail.models.find import zoo_names
from srlongtail.models.spandrel_network import import_spandrel
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.models.state import read_state

LR = torch.rand(1, 3, 32, 24, generator=torch.Generator().manual_seed(0))


def sample(name: str, scale: int = 4) -> SRModel:
    torch.manual_seed(0)
    model = new_model(name, scale, predicts="residual")
    model.provenance = replace(model.provenance, training=Training(7))
    return model


@pytest.mark.parametrize("name", [name for name in CATALOG if CATALOG[name].channels == "rgb"])
def test_saved_and_loaded_again_is_the_same_to_the_bit(tmp_path, name):
    model = sample(name, scale=2)
    save_model(tmp_path / "mine.safetensors", model)
    loaded = load_model(tmp_path / "mine.safetensors")
    prepared(model.network)  # as the loader does: other layers round otherwise
    with torch.no_grad():
        assert torch.equal(loaded(LR), model(LR))
    assert (loaded.name, loaded.scale, loaded.predicts) == ("mine", 2, "residual")
    assert loaded.multiple == model.multiple
    assert loaded.provenance.training.iterations == 7
    assert loaded.provenance.probe == ""
    assert not loaded.training


def test_what_a_network_makes_itself_is_not_saved(tmp_path):
    model = sample("swinir")
    save_model(tmp_path / "ours.safetensors", model)
    assert (tmp_path / "ours.safetensors").stat().st_size < 5e6
    assert not any("attn_mask" in key for key in read_state(tmp_path / "ours.safetensors")[0])
    # Published files hold the masks.
    torch.save(model.network.state_dict(), tmp_path / "theirs_x4.pth")
    ours = load_model(tmp_path / "ours.safetensors")
    theirs = load_model(tmp_path / "theirs_x4.pth", predicts="residual", value_range=1)
    assert ours.network.state_dict().keys() == theirs.network.state_dict().keys()
    with torch.no_grad():
        assert torch.equal(ours(LR), theirs(LR))


WRAPPINGS = {
    "flat": lambda state: state,
    "params": lambda state: {"params": state},
    "params_ema is preferred": lambda state: {
        "params": {key: value + 1 for key, value in state.items()},
        "params_ema": state,
    },
    "state_dict and module.": lambda state: {
        "epoch": 3,
        "state_dict": {f"module.{key}": value for key, value in state.items()},
    },
    "_orig_mod.": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "both prefixes": lambda state: {f"_orig_mod.module.{key}": v for key, v in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_foreign_wrappings(tmp_path, wrapping, suffix):
    model = sample("carn")
    wrapped = WRAPPINGS[wrapping](model.network.state_dict())
    path = tmp_path / f"foreign{suffix}"
    if suffix == ".pth":
        torch.save(wrapped, path)
    elif all(isinstance(value, torch.Tensor) for value in wrapped.values()):
        save_file(wrapped, path)
    else:
        pytest.skip("safetensors files are flat")
    loaded = load_model(path, predicts="residual", value_range=1)
    assert loaded.architecture == "carn"
    assert loaded.provenance.determined_by["scale"] == "weights' shapes"
    assert not any(module.training for module in loaded.modules())
    prepared(model.network)  # as the loader does: other layers round otherwise
    with torch.no_grad():
        assert torch.equal(loaded(LR), model(LR))


def test_the_average_is_taken_and_said(tmp_path):
    state = sample("fsrcnn").network.state_dict()
    raw = {key: value + 1 for key, value in state.items()}
    averaged = {**state, "n_averaged": torch.tensor(3)}
    torch.save({"params": raw, "params_ema": averaged}, tmp_path / "a_x4.pth")
    model = load_model(tmp_path / "a_x4.pth", predicts="residual", value_range=1)
    assert model.provenance.source.wrapping == (
        "averaged weights at params_ema, not params; tensors of other parts left out: "
        "n_averaged (1)"
    )
    assert torch.equal(model.network.state_dict()["tail_conv.bias"], state["tail_conv.bias"])
    options = {"predicts": "residual", "value_range": 1}
    other = load_model(tmp_path / "a_x4.pth", prefix="params", **options)
    assert torch.equal(other.network.state_dict()["tail_conv.bias"], raw["tail_conv.bias"])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_said(tmp_path, dtype):
    state = load_model("fsrcnn-x4").network.state_dict()
    name = str(dtype).removeprefix("torch.")
    torch.save({key: value.to(dtype) for key, value in state.items()}, tmp_path / "x4.pth")
    model = load_model(tmp_path / "x4.pth")
    assert model.provenance.notes == (f"weights in {name}, computed in float32",)
    assert {p.dtype for p in model.network.parameters()} == {torch.float32}
    first = next(iter(state))
    mixed = {**state, first: state[first].to(dtype)}
    torch.save({"epoch": 1, "params": mixed}, tmp_path / "x4.pth")
    note = f"1 of {len(state)} weights in {name}, computed in float32"
    assert load_model(tmp_path / "x4.pth").provenance.notes == (note,)
    torch.save(state, tmp_path / "x4.pth")
    assert load_model(tmp_path / "x4.pth").provenance.notes == ()


def test_weights_that_are_not_finite(tmp_path):
    state = sample("fsrcnn").network.state_dict()
    state["tail_conv.bias"][1] = torch.nan
    torch.save(state, tmp_path / "a_x4.pth")
    with pytest.raises(InputError, match=r"a_x4\.pth: 1 of 3 weights in tail_conv\.bias are NaN"):
        load_model(tmp_path / "a_x4.pth")


def test_the_published_checkpoint(shared):
    model = load_model(shared / "checkpoints" / "4x_FSRCNN_FPL.pth")
    assert (model.architecture, model.scale, model.predicts) == ("fsrcnn", 4, "residual")
    assert model.value_range == 1
    assert model.provenance.determined_by == {
        "scale": "file's name",
        "channels": "architecture",
        "predicts": "probe",
        "value_range": "probe",
    }
    assert count_parameters(model) == 24_515


@pytest.mark.parametrize(
    ("file", "scale"),
    [("4x_net", 4), ("net_x2", 2), ("x3-net", 3), ("net-X4.best", 4), ("max48_x2", 2)],
)
def test_the_scale_is_read_from_a_files_name(tmp_path, file, scale):
    torch.save(build("fsrcnn", scale=4).state_dict(), tmp_path / f"{file}.pth")
    assert load_model(tmp_path / f"{file}.pth", predicts="image", value_range=1).scale == scale


def test_a_scale_that_nothing_tells(tmp_path):
    path = tmp_path / "net64x64.pth"
    torch.save(build("fsrcnn", scale=2).state_dict(), path)
    with pytest.raises(InputError, match=r"scale of this network is unknown, expected scale=N"):
        load_model(path)
    assert load_model(path, scale=2, predicts="image", value_range=1).scale == 2


def test_contradictions_are_refused(tmp_path):
    save_model(tmp_path / "a.safetensors", sample("fsrcnn", scale=2))
    with pytest.raises(InputError, match=r"scale is 4 by the option, but 2 by the file's header"):
        load_model(tmp_path / "a.safetensors", scale=4)


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_nets.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = torch.nn.Conv2d(3, 27, 1)\n"
        "        self.shuffle = torch.nn.PixelShuffle(3)\n"
        "    def forward(self, x):\n"
        "        return self.shuffle(self.conv(x))\n"
        "def number():\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != os.getcwd()])
    yield tmp_path
    sys.modules.pop("user_nets", None)


def test_a_users_own_network(user_module):
    wrapped = load_model("user_nets:Net", predicts="image", value_range=1)
    assert (wrapped.scale, wrapped.name) == (3, "user_nets:Net")
    torch.save(wrapped.network.state_dict(), "weights.pth")
    loaded = load_model("weights.pth", network="user_nets:Net", predicts="image", value_range=1)
    with torch.no_grad():
        assert torch.equal(loaded(LR), wrapped(LR))
    save_model("again.safetensors", loaded)
    again = load_model("again.safetensors", network="user_nets:Net")
    with torch.no_grad():
        assert torch.equal(again(LR), wrapped(LR))


def test_mistakes_about_a_users_own_network(user_module):
    with pytest.raises(InputError, match="No module named 'nowhere'"):
        load_model("nowhere:Net")
    with pytest.raises(InputError, match="has no attribute 'Nix'"):
        load_model("user_nets:Nix")
    with pytest.raises(InputError, match=r"made an int, expected a torch nn\.Module"):
        load_model("user_nets:number")
    torch.save(build("fsrcnn").state_dict(), "x4.pth")
    with pytest.raises(InputError, match=r"x4\.pth: the weights do not fit Net, which has 2 "):
        load_model("x4.pth", network="user_nets:Net")


def test_files_that_are_no_checkpoints(tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"conv.weight": torch.zeros(1), "fc.bias": torch.ones(2)}, tmp_path / "other.pth")
    (tmp_path / "text.safetensors").write_text("hello world, this is not a checkpoint")
    whole = tmp_path / "whole.safetensors"
    save_model(whole, sample("fsrcnn"))
    (tmp_path / "cut.safetensors").write_bytes(whole.read_bytes()[:40_000])
    expected = {
        "empty.pth": r"empty \(0 bytes\), expected a checkpoint of weights",
        "other.pth": r"unknown architecture \(keys conv.weight, fc.bias, \.\.\.\), expected one of "
        "fsrcnn, carn, .* or network=module:callable",
        "text.safetensors": r"a text file \('hello world, this is not a che', \.\.\.\)",
        "cut.safetensors": "damaged, or no safetensors checkpoint",
        "absent.pth": "no such model, expected a checkpoint file, a model card, module:callable",
    }
    for name, message in expected.items():
        with pytest.raises(InputError, match=rf"{name}: .*{message}"):
            load_model(tmp_path / name)


def test_weights_that_nearly_fit(tmp_path):
    state = dict(build("fsrcnn").state_dict())
    del state["tail_conv.bias"]
    torch.save(state, tmp_path / "x4.pth")
    with pytest.raises(InputError, match=r"do not fit FSRCNN, .*: 1 missing \(tail_conv\.bias\)$"):
        load_model(tmp_path / "x4.pth")


def test_saving_refuses_other_suffixes_and_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"models are saved as \.safetensors"):
        save_model(tmp_path / "a.pth", bicubic(4))
    assert list(tmp_path.iterdir()) == []


def test_several_models_share_one_scale(tmp_path):
    save_model(tmp_path / "a.safetensors", sample("fsrcnn", scale=2))
    save_model(tmp_path / "b.safetensors", sample("fsrcnn", scale=3))
    two, cubic = load_models([str(tmp_path / "a.safetensors"), "bicubic"])
    assert (two.scale, cubic.scale) == (2, 2)
    cubic, two = load_models(["bicubic", str(tmp_path / "a.safetensors")])
    assert (cubic.name, cubic.scale, two.name) == ("bicubic", 2, "a")
    with pytest.raises(InputError, match=r"b\.safetensors: a x3 model beside x2 ones"):
        load_models([str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors")])


def test_run_folders_and_equal_names(tmp_path):
    for run in ("one", "two"):
        save_model(tmp_path / run / "checkpoint.safetensors", sample("fsrcnn"))
        save_model(tmp_path / run / "best.safetensors", sample("fsrcnn"))
    by_folder = load_models([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [model.name for model in by_folder] == ["one", "two"]
    clash = load_models([str(tmp_path / run / "best.safetensors") for run in ("one", "two")])
    assert [model.name for model in clash] == ["one/best", "two/best"]
    with pytest.raises(InputError, match="a model is named twice"):
        load_models([str(tmp_path / "one")] * 2)


def test_shipped_names(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "ZOO", tmp_path)
    save_model(tmp_path / "fsrcnn-x4.safetensors", sample("fsrcnn"))
    assert zoo_names() == ["fsrcnn-x4"]
    assert load_model("fsrcnn-x4").name == "fsrcnn-x4"
    with pytest.raises(InputError, match="or one of: bicubic, bicubic-matlab, fsrcnn-x4"):
        load_model("fsrcnn-x5")


def test_names_of_networks_that_were_built_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"srresnet-x4: no such model, .* zoo build adds"):
        load_model("srresnet-x4")
    save_model(tmp_path / "runs" / "zoo" / "srresnet-x4.safetensors", sample("srresnet"))
    model = load_model("srresnet-x4")
    assert (model.name, model.architecture) == ("srresnet-x4", "srresnet")


def test_every_shipped_network_loads():
    for name in zoo_names():
        assert load_model(name).provenance.training.iterations > 0


@pytest.mark.skipif(
    importlib.util.find_spec("spandrel") is None, reason="the extra spandrel is not installed"
)
def test_spandrel_is_asked_about_unknown_architectures(tmp_path):
    import_spandrel()
    network = importlib.import_module("spandrel.architectures.SAFMN.__arch.safmn")
    torch.manual_seed(0)
    state = network.SAFMN(dim=8, n_blocks=1, upscaling_factor=2).state_dict()
    torch.save({"params": state, "params_ema": state}, tmp_path / "safmn_x4.pth")
    model = load_model(tmp_path / "safmn_x4.pth")
    assert (model.scale, model.predicts, model.value_range) == (2, "image", 1)
    assert set(model.provenance.determined_by.values()) == {"spandrel extra"}
    assert model.provenance.network == "spandrel's SAFMN"
    save_model(tmp_path / "ours.safetensors", model)
    again = load_model(tmp_path / "ours.safetensors")
    with torch.no_grad():
        assert torch.equal(again(LR), model(LR))
    state["feats.0.norm1.weight"] = torch.full((8,), torch.nan)
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(InputError, match=r"nan\.pth: 8 of 8 weights in .*norm1\.weight are NaN"):
        load_model(tmp_path / "nan.pth")
    torch.save({"strange": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(InputError, match="spandrel does not know it either"):
        load_model(tmp_path / "b.pth")


def test_where_spandrel_cannot_be_imported_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "spandrel", None)
    torch.save({"strange": torch.zeros(1)}, tmp_path / "b.pth")
    with pytest.raises(InputError, match=r"extra srlongtail\[spandrel\] knows more, but cannot be"):
        load_model(tmp_path / "b.pth")


def test_operations_by_hand():
    # FSRCNN at x4: multiply-adds per LR pixel of its layers; the transposed one at LR size.
    per_pixel = 3 * 56 * 25 + 56 * 12 + 4 * 12 * 12 * 9 + 12 * 56 + 56 * 3 * 81
    assert count_operations(sample("fsrcnn")) == 2 * per_pixel * 32 * 32
    # Counted once per SR pixel, as the paper's 468M must have been:
    inflated = 2 * 32 * 32 * (per_pixel + 15 * 56 * 3 * 81)
    assert inflated == pytest.approx(468e6, rel=0.001)


@pytest.mark.parametrize(
    ("file", "asked", "scale", "by"),
    [
        ("carn.pth", None, 4, "largest scale of the weights"),
        ("carn_x2.pth", None, 2, "file's name"),
        ("carn.pth", 3, 3, "option"),
    ],
)
def test_weights_for_several_scales(tmp_path, file, asked, scale, by):
    torch.manual_seed(0)
    network = build("carn-official", features=8)
    torch.save(network.state_dict(), tmp_path / file)
    model = load_model(tmp_path / file, scale=asked, predicts="image", value_range=1)
    assert model.scale == scale
    assert model.provenance.determined_by["scale"] == by
    prepared(network)
    with torch.no_grad():
        assert torch.equal(model(LR), network(LR, scale))


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *[(name, 4) for name in ("edsr_x4", "PANx4_DF2K", "net_x4plus", "4xNomos", "model_SRx4")],
        *[(name, None) for name in ("crop_64x48", "max2", "x2_finetuned_x4", "x40")],
    ],
)
def test_the_scale_in_a_name(name, scale):
    assert checkpoint._Loading("nets:net", False, {})._scale_in_name(name) == scale
