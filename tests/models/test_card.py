"""Model cards: what they may say, whose word counts, and whose code runs."""

import sys

import pytest
import torch

from srlongtail.errors import InputError
from srlongtail.models.card import KEYS, ModelCard
from srlongtail.models.catalog import build, new_model
from srlongtail.models.checkpoint import load_model, load_models, save_model

NETS = """
import torch
class Net(torch.nn.Module):
    def __init__(self, width=4, depth=1):
        super().__init__()
        layers = [torch.nn.Conv2d(3, width, 3, padding=1)]
        layers += [torch.nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)]
        self.body = torch.nn.Sequential(*layers, torch.nn.Conv2d(width, 12, 1))
    def forward(self, x):
        return torch.nn.functional.pixel_shuffle(self.body(x), 2)
def make(width, depth=1):
    return Net(width, depth)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Networks of a user's own in the current folder, their weights, and one of ours."""
    (tmp_path / "cardnets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.manual_seed(0)
    from importlib import import_module

    sys.path.insert(0, str(tmp_path))
    nets = import_module("cardnets")
    torch.save(nets.Net(6).state_dict(), "six.pth")
    torch.save(nets.Net(3, 2).state_dict(), "three.pth")
    save_model("ours.safetensors", new_model("fsrcnn", 2))
    yield tmp_path
    sys.modules.pop("cardnets", None)


SAID = {"scale": 2, "predicts": "residual", "value_range": 255, "channels": "bgr", "multiple": 4}


def write(path, **values):
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            value = "{" + ", ".join(f"{k} = {v}" for k, v in value.items()) + "}"
            lines.append(f"{key} = {value}")
        else:
            lines.append(f"{key} = {value!r}")
    path.write_text("\n".join(lines).replace("'", '"'))
    return path


def test_a_card_is_a_model(folder):
    (folder / "cards").mkdir()
    card = write(
        folder / "cards" / "mine.toml",
        weights="../six.pth",
        network="cardnets:make",
        arguments={"width": 6},
        name="my network",
        **SAID,
    )
    model = load_model(card, allow_code=True)
    assert {key: getattr(model, key) for key in SAID} == SAID
    assert model.name == "my network"
    assert model.network.body[0].out_channels == 6
    assert set(model.provenance.determined_by.values()) == {"card"}
    assert model.provenance.network == "cardnets:make(width=6)"
    in_python = load_model(
        ModelCard("six.pth", "cardnets:make(6)", name="mine", **SAID)
    )  # what a user says in Python needs no consent
    with torch.no_grad():
        lr = torch.rand(1, 3, 8, 8)
        assert torch.equal(model(lr), in_python(lr))


def test_without_a_name_a_card_goes_by_its_file(folder):
    card = write(folder / "theirs.toml", weights="ours.safetensors")
    assert load_model(card).name == "theirs"


def test_options_fill_what_neither_file_nor_card_says(folder):
    """Three models of one command: each by its own name and settings."""
    card = write(
        folder / "card.toml",
        weights="six.pth",
        network="cardnets:Net",
        arguments={"width": 6},
        predicts="image",
        scale=2,
    )
    said, ours, short, foreign = load_models(
        [str(card), "ours.safetensors", "three.pth@cardnets:make(3, depth=2)", "six.pth"],
        predicts="residual",
        value_range=255,
        network="cardnets:make(6)",
        allow_code=True,
    )
    assert [m.name for m in (said, ours, short, foreign)] == ["card", "ours", "three", "six"]
    assert [m.predicts for m in (said, ours, short, foreign)] == ["image", "image"] + [
        "residual"
    ] * 2
    assert [m.value_range for m in (said, ours, short, foreign)] == [255, 1, 255, 255]
    assert ours.architecture == "fsrcnn"
    assert short.provenance.network == "cardnets:make(3, depth=2)"
    assert short.network.body[0].out_channels == 3
    assert foreign.provenance.determined_by["predicts"] == "option"


def test_an_option_that_no_model_takes_is_an_error(folder):
    with pytest.raises(InputError, match=r"ours\.safetensors: states its own scale, .*scale=4"):
        load_models(["ours.safetensors"], scale=4)
    with pytest.raises(InputError, match=r"states its own network, expected no network=c"):
        load_models(["ours.safetensors"], network="cardnets:Net")
    assert load_models(["ours.safetensors"], scale=2)[0].scale == 2
    with pytest.raises(InputError, match=r"network is cardnets:Net by the option, but fsrcnn by"):
        load_model("ours.safetensors", network="cardnets:Net")


def test_a_card_that_contradicts_the_file_is_refused(folder):
    card = write(folder / "wrong.toml", weights="ours.safetensors", scale=4)
    with pytest.raises(InputError, match=r"scale is 4 by the card, but 2 by the file's header"):
        load_model(card)


def test_a_strangers_card_runs_no_code_of_its_folder(folder):
    sys.modules.pop("cardnets")
    (folder / "cardnets.py").write_text(f"open('ran', 'w'){NETS}")
    card = write(folder / "card.toml", weights="six.pth", network="cardnets:Net(6)", **SAID)
    with pytest.raises(InputError, match=r"card\.toml: network cardnets:Net\(6\): comes from a"):
        load_model(card)
    assert not (folder / "ran").exists()
    assert load_model(card, allow_code=True).scale == 2
    # Named by the user, it needs no consent.
    assert load_model("six.pth@cardnets:Net(6)", scale=2, predicts="image", value_range=1)


def test_networks_of_the_catalog_need_no_consent(folder):
    torch.save(build("fsrcnn", scale=3, features=16).state_dict(), "narrow.pth")
    said = {"scale": 3, "predicts": "image", "value_range": 1}
    card = write(folder / "card.toml", weights="narrow.pth", network="fsrcnn", **said)
    model = load_model(card)
    assert (model.architecture, model.scale) == ("fsrcnn", 3)
    untold = load_model("narrow.pth@fsrcnn(scale=3)", predicts="image", value_range=1)
    assert (untold.scale, untold.provenance.determined_by["scale"]) == (3, "weights' shapes")


def test_a_network_without_weights_takes_the_scale_that_is_said():
    card = ModelCard(network="fsrcnn", scale=3, predicts="residual", value_range=1)
    assert load_model(card).restore(torch.rand(3, 4, 4)).shape == (3, 12, 12)


def test_a_prefix_is_cut_off(folder):
    state = build("fsrcnn", scale=2).state_dict()
    both = {f"student.{k}": v for k, v in state.items()} | {"teacher.weight": torch.zeros(1)}
    torch.save(both, "both_x2.pth")
    options = {"predicts": "image", "value_range": 1}
    assert load_model("both_x2.pth", prefix="student.", **options).architecture == "fsrcnn"
    assert load_model(ModelCard("both_x2.pth", prefix="student."), **options).scale == 2
    with pytest.raises(InputError, match=r"nothing at prefix 'pupil\.', expect"):
        load_model("both_x2.pth", prefix="pupil.", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither weights nor network, expected one of them"),
        ("weights = 3", "weights 3, expected a path"),
        ("weights = 'a'\nscael = 4", "unknown key 'scael', did you mean 'scale'"),
        ("weights = 'a'\nfile = 'b'", "unknown key 'file', expected one of weights, network"),
        ("weights = 'a'\nscale = '4'", "scale '4', expected a whole number from 1"),
        ("weights = 'a'\nscale = true", "scale True, expected a whole number"),
        ("weights = 'a'\nscale = 0", "scale 0, expected a whole number from 1"),
        ("weights = 'a'\nmultiple = 2.5", "multiple 2.5, expected a whole number"),
        ("weights = 'a'\nvalue_range = 0", "value range 0, expected 1, 255"),
        ("weights = 'a'\npredicts = 'both'", "predicts 'both', expected 'image' or 'residual'"),
        ("weights = 'a'\nchannels = ['y']", r"channels \['y'\], expected one of rgb"),
        ("weights = 'a'\narguments = [1]", r"arguments \[1\], expected a table"),
        ("weights = 'a'\nname = 'a/../b'", "expected one line of text without slashes"),
        ("weights = 'a'\nname = \"a\\u001b[2J\"", "expected one line of text"),
        ("weights = 'a'\narm = 'fpl'", "arm 'fpl', expected one of baseline, skip, "),
        ("weights = 'a'\ndegradation = 'jpeg'", "'jpeg', expected bicubic or blur-noise"),
        ("weights = ", "not a TOML file"),
        ("network = 'nets:make(x)'", "an argument is not a literal"),
        ("network = 'fsrcnn(scale=2)'\narguments = {scale = 3}", "argument 'scale' is given twice"),
        ("weights = 'absent.pth'", "absent.pth: no such file, expected weights"),
    ],
)
def test_mistakes_name_the_card(tmp_path, text, message):
    card = tmp_path / "card.toml"
    card.write_text(text)
    with pytest.raises(InputError, match=f"card.toml: .*{message}"):
        load_model(card)


def test_every_key_is_documented():
    documented = ModelCard.__doc__
    assert all(key in documented for key in KEYS)
