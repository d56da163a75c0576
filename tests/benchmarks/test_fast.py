"""What each of the fast ways on a CPU gains: `-m benchmark -s`.

CPU time of one thread, the least of several rounds in which all take turns: what the machine does
besides only adds to a time.
"""

import copy
import subprocess
import sys
from statistics import median
from time import process_time

import pytest
import torch
from torch import nn

from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import build
from srlongtail.models.fast.layers import accelerate
from srlongtail.models.fast.patches import BicubicOfPatches
from srlongtail.models.fast.process import prepare_process

pytestmark = pytest.mark.benchmark

ROUNDS = 12

# Prints the CPU time of a step: forwards, backwards and update, as the trainer does them.
STEPS = """
import sys
from time import process_time
from srlongtail.models.fast.process import keep_memory
if sys.argv[1] == "kept":
    keep_memory()
import torch
from srlongtail.training.learner import Learner
from srlongtail.training.recipe import find_recipe
torch.set_num_threads(1)
torch.manual_seed(0)
cpu = torch.device("cpu")
learner = Learner(find_recipe("fsrcnn-fpl-x4"), cpu, cpu)
lr, hr = (torch.rand(16, 3, s, s).to(memory_format=torch.channels_last) for s in (32, 128))
times = []
for _ in range(12):
    start = process_time()
    learner.optimizer.zero_grad()
    learner.objective(lr, hr).backward()
    learner.optimizer.step()
    times.append(process_time() - start)
print(1000 * min(times[2:]))
"""


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    prepare_process()
    yield
    torch.set_num_threads(before)


def gain(what, torchs, ours) -> float:
    """How many times as fast ours is, printed."""
    times = [[], []]
    for _ in range(ROUNDS):
        for column, call in zip(times, (torchs, ours), strict=True):
            start = process_time()
            call()
            column.append(1000 * (process_time() - start))
    before, after = (min(column[2:]) for column in times)
    print(f"\n{what}: {before:.2f} -> {after:.2f} ms, x{before / after:.2f}", end="")
    return before / after


def with_gradient(network, x, weights=True):
    """A call that computes the gradients of an input and, unless switched off, of the weights."""
    x = x.clone().requires_grad_()
    wanted = [x, *(network.parameters() if weights else ())]
    return lambda: torch.autograd.grad(network(x).sum(), wanted)


@pytest.mark.parametrize(("scale", "side"), [(2, 64), (3, 64), (4, 64), (4, 256)])
def test_the_enlarging_convolution(scale, side):
    torchs = build("fsrcnn", scale=scale).eval().requires_grad_(False)
    ours = copy.deepcopy(torchs)
    accelerate(ours.tail_conv)
    x, features = torch.rand(1, 3, side, side), torch.rand(1, 56, side, side)
    where = f"x{scale}, {side} x {side} LR pixels,"
    layer = gain(
        f"{where} layer", lambda: torchs.tail_conv(features), lambda: ours.tail_conv(features)
    )
    network = gain(f"{where} FSRCNN", lambda: torchs(x), lambda: ours(x))
    assert layer > 1.5
    assert network > 1.1


def test_prelu():
    x = torch.randn(16, 56, 32, 32).to(memory_format=torch.channels_last)
    torchs = nn.PReLU()
    ours = accelerate(nn.PReLU())
    assert gain("PReLU, gradients of a batch", *(with_gradient(n, x) for n in (torchs, ours))) > 1.5
    assert gain("PReLU, output of a batch", lambda: torchs(x), lambda: ours(x)) > 0.9


def test_attribution():
    torchs = build("fsrcnn", scale=4).eval()
    ours = accelerate(copy.deepcopy(torchs))
    x = torch.rand(4, 3, 32, 32)
    calls = (with_gradient(network, x, weights=False) for network in (torchs, ours))
    assert gain("FSRCNN, gradient of its input", *calls) > 1.1


def test_bicubic_of_patches():
    lr = torch.rand(16, 3, 32, 32).to(memory_format=torch.channels_last)
    fast = BicubicOfPatches(32, 4)
    assert gain("bicubic of 16 patches", lambda: upsample_bicubic(lr, 4), lambda: fast(lr)) > 1.5


def test_kept_memory():
    def step_ms(how: str) -> float:
        command = [sys.executable, "-c", STEPS, how]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    rounds = [(step_ms("given back"), step_ms("kept")) for _ in range(3)]
    before, after = (median(column) for column in zip(*rounds, strict=True))
    print(f"\nmemory kept, a step of FSRCNN: {before:.0f} -> {after:.0f} ms, x{before / after:.2f}")
    assert before / after > 1.0


def test_a_step_of_training():
    torchs = build("fsrcnn", scale=4).to(memory_format=torch.channels_last)
    ours = accelerate(copy.deepcopy(torchs))
    x = torch.rand(16, 3, 32, 32).to(memory_format=torch.channels_last)
    calls = (with_gradient(network, x) for network in (torchs, ours))
    assert gain("FSRCNN, gradients of a batch", *calls) > 1.2
