"""Whatever a network's code raises is one line with its likely cause."""

import re

import pytest
import torch
from torch import nn

from srlongtail.errors import InputError
from srlongtail.models.calls import NetworkCall
from srlongtail.models.checkpoint import load_model
from srlongtail.models.diagnose_call import explained, likely_cause
from srlongtail.models.probe import probe
from srlongtail.models.sr_model import SRModel, bicubic

LR = torch.rand(1, 3, 20, 24)


class Net(nn.Module):
    """Calls what it is given with the image."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Coordinates(nn.Module):
    def forward(self, x, coordinates, cells):
        return x


def needs_a_package(x):
    import package_that_nobody_has  # noqa: F401


def reads_a_file(x):
    return torch.from_numpy(open("weights/that/are/elsewhere.bin").read())


def asks_for_cuda(x):
    raise AssertionError("Torch not compiled with CUDA enabled")  # what x.cuda() says on a CPU


def fails(x):
    raise KeyError("mode")


FAILURES = {
    "more arguments": (
        Coordinates(),
        "its forward takes more than the image ('coordinates' and 'cells'): wrap it in a module",
    ),
    "one channel": (nn.Conv2d(1, 4, 3), "it takes one channel, luma; expected channels=y (Runtime"),
    "sizes": (
        Net(lambda x: x.view(1, 3, 20 // 16, 16, 24 // 16, 16)),
        "it does not take images of this size; sides may have to be multiples of 8, 16 or more: "
        "try multiple=16 (RuntimeError in test_diagnose_call.py, line",
    ),
    "halves that differ": (
        Net(lambda x: x[..., ::2] + x[..., 1:5]),
        "does not take images of this",
    ),
    "too small": (nn.ReflectionPad2d(40), "the image is too small for it (RuntimeError: "),
    "half precision": (nn.Conv2d(3, 3, 1).half(), "its weights are in half precision: convert"),
    "half precision in its code": (
        nn.Sequential(Net(lambda x: x.half()), nn.Conv2d(3, 3, 1)),
        "its code converts to half precision by itself (.half() or dtype=torch.float16): use x.dt",
    ),
    "cuda": (
        Net(asks_for_cuda),
        "its code asks for CUDA by itself (.cuda() or device='cuda'): use",
    ),
    "package": (Net(needs_a_package), "it needs the package package_that_nobody_has, which is not"),
    "file": (
        Net(reads_a_file),
        "a file that does not exist, weights/that/are/elsewhere.bin (",
    ),
    "no forward": (nn.Module(), "it has no forward method (NotImplementedError"),
    "anything": (
        Net(fails),
        "its code failed (KeyError in test_diagnose_call.py, line ",
    ),
    "dict": (
        Net(lambda x: {"sr": x, "mask": x}),
        "the network returned a dict of sr, mask, expected one tensor, the SR image: wrap it",
    ),
    "tuple": (
        Net(lambda x: (x, 3)),
        "the network returned a tuple of (1, 3, 20, 24), int, expected one tensor",
    ),
    "nothing": (Net(lambda x: None), "the network returned nothing, expected one tensor"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_what_a_network_raises_is_one_line(case):
    network, message = FAILURES[case]
    with pytest.raises(InputError, match=f"^ours: .*{re.escape(message)}") as caught:
        SRModel(network, 4, name="ours")(LR)
    assert "\n" not in str(caught.value)


def test_short_memory_and_our_own_errors_pass():
    for error in (torch.OutOfMemoryError("CUDA out of memory"), InputError("known")):
        with pytest.raises(type(error), match=f"^{error}$"), explained("a"):
            raise error


def test_an_error_of_several_lines_or_of_none():
    parts = likely_cause(RuntimeError("first\nsecond"))
    assert parts == ("its code failed", " (RuntimeError: first)")
    assert likely_cause(AssertionError()) == ("its code failed", " (AssertionError)")


@pytest.fixture
def modules(tmp_path, monkeypatch):
    (tmp_path / "user_failing.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Conv2d):\n"
        "    def __init__(self, args):\n"
        "        super().__init__(3, 3, 1)\n"
        "def make(width):\n"
        "    return torch.nn.Conv2d(width, 0.5, 3)\n"
    )
    (tmp_path / "user_importing.py").write_text("import package_that_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "user_failing:Net",
            r"cannot be built: Net needs arguments \('args'\): give them, as in m",
        ),
        (
            "user_failing:make",
            r"cannot be built: make needs arguments \('width'\): give them, as",
        ),
        (
            "user_failing:make(3)",
            "cannot be built: its code failed .ValueError in user_failing.py, ",
        ),
        ("user_failing:Nix", "user_failing has no attribute 'Nix'"),
        ("user_importing:Net", "cannot be imported: it needs the package package_that_nobody_has"),
        ("user_missing:Net", "cannot be imported: No module named 'user_missing'"),
    ],
)
def test_networks_that_cannot_be_built(modules, call, message):
    with pytest.raises(InputError, match=rf"^network {re.escape(call)}: {message}") as caught:
        NetworkCall.parse(call).make()
    assert "\n" not in str(caught.value)


def test_a_network_that_fails_while_it_is_loaded(modules, tmp_path):
    (tmp_path / "user_forward.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x, cells):\n"
        "        return x\n"
    )
    with pytest.raises(InputError, match=r"user_forward:Net: .* more than the image \('cells'\)"):
        load_model("user_forward:Net")


def test_a_network_that_overwrites_its_input_leaves_the_callers_alone():
    class Overwriting(nn.Module):
        def forward(self, x):
            x *= 2
            return nn.functional.interpolate(x, scale_factor=2)

    lr = LR.clone().requires_grad_()
    SRModel(Overwriting(), 2, predicts="residual")(lr).sum().backward()
    assert torch.equal(lr.detach(), LR)
    assert lr.grad is not None


def test_code_that_ends_the_program_is_one_line():
    """As networks do whose module parses the command line when it is imported."""
    with pytest.raises(InputError, match="its code ends the program"), explained("net"):
        raise SystemExit(2)


def test_the_probe_names_the_network_that_fails():
    with pytest.raises(InputError, match=r"^user\.pth: the network failed on .*KeyError"):
        probe(SRModel(Net(fails), 4, name="user.pth"))


def test_a_network_without_a_gradient_is_no_bicubic():
    class WithoutGradient(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        @torch.no_grad()
        def forward(self, x):
            return self.conv(x)

    model = SRModel(WithoutGradient(), 1, predicts="residual", name="ours")
    assert model(LR).shape == LR.shape
    with pytest.raises(InputError, match=r"^ours: the network's output has no gradient: is it"):
        model(LR.clone().requires_grad_())
    assert bicubic(2)(LR.clone().requires_grad_()).requires_grad
