"""Networks named in text: what is parsed, what is imported, and what needs consent."""

import sys

import pytest
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.calls import NetworkCall


@pytest.mark.parametrize(
    ("text", "positional", "named"),
    [
        ("nets:make", (), {}),
        ("nets:make()", (), {}),
        ("a.b:C.d(32, -1.5, depth=4)", (32, -1.5), {"depth": 4}),
        ("nets:make('a@b:c(d)', [1, (2, None)], on=True)", ("a@b:c(d)", [1, (2, None)]), {"on": 1}),
        ("fsrcnn(features=48)", (), {"features": 48}),
    ],
)
def test_forms(text, positional, named):
    call = NetworkCall.parse(text)
    assert (call.positional, dict(call.named)) == (positional, named)
    assert NetworkCall.parse(str(call)) == call


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nets:make(open('x'))", "an argument is not a literal"),
        ("nets:make(__import__('os').system('x'))", "an argument is not a literal"),
        ("nets:make(x)", "an argument is not a literal"),
        ("nets:make(*[1])", "an argument is not a literal"),
        ("nets:make(**{'a': 1})", "expected arguments one by one"),
        ("nets:make(1)(2)", "one pair of parentheses"),
        ("nets:make(1", "expected module:callable"),
        ("nets:make(1,,2)", "arguments that cannot be parsed"),
        ("nets:make(" + "(" * 5000 + ")" * 5000 + ")", "network 'nets:make"),
        ("os.system", "unknown name"),
        ("fsrcn", "did you mean 'fsrcnn'"),
        ("", "expected module:callable"),
    ],
)
def test_what_is_no_call(text, message):
    with pytest.raises(InputError, match=message):
        NetworkCall.parse(text)


def test_a_network_of_the_catalog():
    network = NetworkCall.parse("fsrcnn(scale=2, features=8)").make(trusted=False)
    assert network.head_conv[0].out_channels == 8
    with pytest.raises(InputError, match=r"unknown argument 'featurs'.*did you mean 'features'"):
        NetworkCall.parse("fsrcnn(featurs=8)").make()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with code, which says so when it is run."""
    (tmp_path / "stranger.py").write_text(
        "import pathlib, torch\n"
        "pathlib.Path('ran').touch()\n"
        "class Net(torch.nn.Conv2d):\n"
        "    def __init__(self, width=3):\n"
        "        super().__init__(3, width, 1)\n"
        "make = lambda width: Net(width)\n"
        "def broken(): raise RuntimeError('first\\nsecond')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("stranger", None)


def test_code_of_the_current_folder_needs_consent(folder, monkeypatch):
    call = NetworkCall.parse("stranger:Net(5)")
    monkeypatch.setattr(sys, "path", ["", str(folder), *sys.path])
    with pytest.raises(InputError, match=r"is not installed; .* only with allow_code=True"):
        call.make(trusted=False)
    assert not (folder / "ran").exists()
    assert sys.path[:2] == ["", str(folder)]
    assert call.make(trusted=True).out_channels == 5
    assert (folder / "ran").exists()


def test_code_beside_the_file_that_names_it_needs_consent(folder, monkeypatch):
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    with pytest.raises(InputError, match="is not installed"):
        NetworkCall.parse("stranger:Net").make(trusted=False, folder=folder)
    assert not (elsewhere / "ran").exists()


def test_of_what_is_installed_only_networks_are_called(folder):
    made = NetworkCall.parse("torch.nn:Conv2d(3, 4, kernel_size=1)").make(trusted=False)
    assert isinstance(made, nn.Conv2d)
    for text in ("os:mkdir('made')", "pathlib:Path.home", "torch.nn.init:os.mkdir('made')"):
        with pytest.raises(InputError, match=r"not a subclass of torch|has no attribute"):
            NetworkCall.parse(text).make(trusted=False)
    assert not (folder / "made").exists()


def test_mistakes(folder):
    assert NetworkCall.parse("stranger:make(7)").make().out_channels == 7
    for text, message in {
        "stranger:make": r"cannot be built: .*needs arguments \('width'\)",
        "stranger:broken": r"cannot be built: .* \(RuntimeError in stranger\.py, .*: first\)$",
        "stranger:Nix": "stranger has no attribute 'Nix'",
        "stranger:torch.nn.Conv2d.__name__.upper": "made a str, expected a torch nn.Module",
        "nowhere:Net": "cannot be imported: No module named 'nowhere'",
    }.items():
        with pytest.raises(InputError, match=message):
            NetworkCall.parse(text).make()
