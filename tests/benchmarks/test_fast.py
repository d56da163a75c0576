"""What each of the fast ways on a CPU gains, in CPU time of one thread."""

import copy
import subprocess
import sys
from statistics import median

import pytest
import torch
from torch import nn

from srlongtail.image.resample import upsample_bicubic
from srlongtail.models.catalog import build
from srlongtail.models.fast.layers import accelerate
from srlongtail.models.fast.patches import BicubicOfPatches
from srlongtail.models.fast.process import prepare_process
from tests.benchmarks.conftest import Row

pytestmark = pytest.mark.benchmark

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
print(min(times[2:]))
"""


@pytest.fixture(autouse=True, scope="module")
def prepared():
    prepare_process()


def with_gradient(network, x, weights=True):
    """A call that computes the gradients of an input and, unless switched off, of the weights."""
    x = x.clone().requires_grad_()
    wanted = [x, *(network.parameters() if weights else ())]
    return lambda: torch.autograd.grad(network(x).sum(), wanted)


@pytest.mark.parametrize(("scale", "side"), [(2, 64), (3, 64), (4, 64), (4, 256)])
def test_the_enlarging_convolution(bench, scale, side):
    torchs = build("fsrcnn", scale=scale).eval().requires_grad_(False)
    ours = copy.deepcopy(torchs)
    accelerate(ours.tail_conv)
    x, features = torch.rand(1, 3, side, side), torch.rand(1, 56, side, side)
    where = f"x{scale}, {side} x {side} LR pixels"
    bench.compare(
        f"FSRCNN's last layer, {where}",
        lambda: torchs.tail_conv(features),
        lambda: ours.tail_conv(features),
        target=1.5,
    )
    bench.compare(f"FSRCNN, {where}", lambda: torchs(x), lambda: ours(x), target=1.1)


def test_prelu(bench):
    x = torch.randn(16, 56, 32, 32).to(memory_format=torch.channels_last)
    torchs = nn.PReLU()
    ours = accelerate(nn.PReLU())
    calls = (with_gradient(n, x) for n in (torchs, ours))
    bench.compare("PReLU, gradients of a batch", *calls, target=1.5)
    bench.compare("PReLU, output of a batch", lambda: torchs(x), lambda: ours(x), target=0.75)


def test_attribution(bench):
    torchs = build("fsrcnn", scale=4).eval()
    ours = accelerate(copy.deepcopy(torchs))
    x = torch.rand(4, 3, 32, 32)
    calls = (with_gradient(network, x, weights=False) for network in (torchs, ours))
    bench.compare("FSRCNN, gradient of its input", *calls, target=1.1)


def test_bicubic_of_patches(bench):
    lr = torch.rand(16, 3, 32, 32).to(memory_format=torch.channels_last)
    fast = BicubicOfPatches(32, 4)
    bench.compare(
        "bicubic of 16 patches", lambda: upsample_bicubic(lr, 4), lambda: fast(lr), target=1.5
    )


def test_kept_memory(bench):
    def step_s(how: str) -> float:
        command = [sys.executable, "-c", STEPS, how]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    rounds = [(step_s("given back"), step_s("kept")) for _ in range(3)]
    times = (median(column) for column in zip(*rounds, strict=True))
    bench.record(Row("memory kept, a step of FSRCNN", *times, target=1.0))


def test_a_step_of_training(bench):
    torchs = build("fsrcnn", scale=4).to(memory_format=torch.channels_last)
    ours = accelerate(copy.deepcopy(torchs))
    x = torch.rand(16, 3, 32, 32).to(memory_format=torch.channels_last)
    calls = (with_gradient(network, x) for network in (torchs, ours))
    bench.compare("FSRCNN, gradients of a batch", *calls, target=1.2)
