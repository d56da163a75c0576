"""Where memory is short: smaller pieces, a warning, the same result; else an error of one line."""

import subprocess
import sys

import pandas as pd
import pytest
import torch

from srlongtail import cli
from srlongtail.attribution.lam import local_attribution
from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data
from srlongtail.image.io import write_image
from srlongtail.image.tiles import Tiling
from srlongtail.longtail.comparison import compare
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from tests.conftest import soft_noise
from tests.trust.scene import COMMANDS

ERRORS = {
    "cuda": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB"),
    "cpu": RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
}


def short_of_memory(model, pixels, error="cuda"):
    """Return the model after limiting the LR pixels that fit in memory at once."""

    def refuse(_, inputs):
        if inputs[0].numel() > 3 * pixels:
            raise ERRORS[error]

    model.network.register_forward_pre_hook(refuse)
    return model


@pytest.fixture(params=["fsrcnn-x4", "untrained carn"])
def model(request):
    if request.param == "fsrcnn-x4":
        return load_model("fsrcnn-x4")
    torch.manual_seed(0)
    return new_model("carn", 4, features=8)


@pytest.mark.parametrize("error", ERRORS)
def test_restore(model, error):
    """The pieces of 64 have margins of 64, which is more than either network reads."""
    lr = soft_noise(200, 168, 0)[:, :197, :165]
    whole = model.restore(lr, clamp=False)
    short_of_memory(model, 192 * 165, error)
    with pytest.warns(UserWarning, match="197 x 165 does not fit in memory; restored in pieces"):
        pieces = model.restore(lr, clamp=False)
    assert (pieces - whole).abs().max() < 1e-5


def test_restore_in_tiles():
    model = load_model("fsrcnn-x4")
    lr = soft_noise(72, 72, 0)
    whole = model.restore(lr, Tiling(32, 28))
    short_of_memory(model, 2 * 32 * 32)
    with pytest.warns(UserWarning, match="restored with 1 tile at a time"):
        fewer = model.restore(lr, Tiling(32, 28))
    assert (fewer - whole).abs().max() < 1e-5


def test_not_even_a_piece_fits():
    model = short_of_memory(load_model("fsrcnn-x4"), 32 * 32)
    with pytest.raises(InputError, match="100 x 100 does not fit in memory, not even in pieces"):
        model.restore(torch.rand(3, 100, 100))


def test_local_attribution():
    model = load_model("fsrcnn-x4")
    lr = soft_noise(48, 48, 0)
    whole = local_attribution(model, lr, (90, 90, 16), n_steps=16)
    short_of_memory(model, 8 * whole.computed_on.box.pixels)
    with pytest.warns(UserWarning, match="memory is short; 8 images at a time"):
        parts = local_attribution(model, lr, (90, 90, 16), n_steps=16, internal_batch_size=16)
    assert parts.computed_on == whole.computed_on
    largest = whole.attributions.abs().max()
    assert (parts.attributions - whole.attributions).abs().max() < 1e-5 * largest


def test_local_attribution_where_only_the_image_itself_fits():
    """The canvas on which the receptive field is measured is larger."""
    torch.manual_seed(0)
    model = new_model("carn", 4, features=4)
    lr = soft_noise(72, 72, 0)
    whole = local_attribution(model, lr, (100, 100, 16), n_steps=2)
    short_of_memory(model, 72 * 72)
    parts = local_attribution(model, lr, (100, 100, 16), n_steps=2)
    assert "memory is short for a canvas of" in parts.computed_on.why
    largest = whole.attributions.abs().max()
    assert (parts.attributions - whole.attributions).abs().max() < 1e-5 * largest


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A folder of two images of 100 x 110 LR pixels."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(2):
        write_image(folder / f"{number}.png", soft_noise(400, 440, number))
    return folder


def test_evaluate_and_compare(large):
    data = open_data(large)
    networks = [load_model("fsrcnn-x4"), load_model("fsrcnn-fpl-x4")]
    table, gain = evaluate(networks, [data]), compare(*networks, list(data)).gain
    for network in networks:
        short_of_memory(network, 96 * 104)
    with pytest.warns(UserWarning, match="99 x 108 does not fit in memory; restored in pieces"):
        again = evaluate(networks, [data])
    pd.testing.assert_frame_equal(again, table, rtol=1e-5, check_exact=False)
    with pytest.warns(UserWarning, match="does not fit in memory"):
        found = compare(*networks, list(data)).gain
    assert found.estimate == pytest.approx(gain.estimate, abs=1e-5)


@pytest.mark.parametrize("error", [*ERRORS.values(), MemoryError("Unable to allocate 9 GiB")])
@pytest.mark.parametrize("name", ["evaluate", "attribute", "figures"])
def test_no_memory_at_all_is_one_line(name, error, scene, monkeypatch, capsys):
    def refuse(*_):
        raise error

    monkeypatch.setattr(torch.nn.Conv2d, "forward", refuse)
    monkeypatch.setattr(sys, "argv", ["srlongtail", *COMMANDS[name].split()])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("srlongtail: error: ")
    assert "memory" in last or "allocate" in last


LIMITED = """
import resource, warnings
import torch
from srlongtail.models.checkpoint import load_model

torch.set_num_threads(1)
model = load_model("fsrcnn-x4")
lr = torch.rand(3, 800, 1000, generator=torch.Generator().manual_seed(0))
whole = model.restore(lr)
data = int(open("/proc/self/status").read().partition("VmData:")[2].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (data + 400 * 2**20, -1))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    pieces = model.restore(lr)
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
print(said[-1].message)
print(float(max((a - b).abs().max() for a, b in zip(pieces, whole))))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
def test_the_system_refuses_more_memory():
    """Of 400 MB, while a map of features of the whole image takes 180 MB."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, difference = done.stdout.splitlines()
    assert "800 x 1000 does not fit in memory; restored in pieces of" in said
    assert float(difference) < 1e-5
