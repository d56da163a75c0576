"""One question has one answer: it changes nothing outside, and does not depend on the batch."""

import random
import warnings
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch

from srlongtail.attribution.lam import local_attribution
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import make_pair, open_data, photos
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import write_image
from srlongtail.image.tiles import Tiling
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.comparison import compare
from srlongtail.longtail.difference import difference_histogram
from srlongtail.models.checkpoint import load_model, save_model


@pytest.fixture(scope="module")
def model():
    return load_model("fsrcnn-x4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("three")
    for number in range(3):
        noise = torch.rand(3, 48, 60, generator=torch.Generator().manual_seed(number))
        write_image(root / f"{number}.png", noise)
    return root


def global_state() -> dict[str, Any]:
    return {
        "random": random.getstate(),
        "numpy": [str(part) for part in np.random.get_state()],  # noqa: NPY002  # the global one
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "matmul": torch.get_float32_matmul_precision(),
        "matplotlib": dict(mpl.rcParams),
        "warnings": list(warnings.filters),
        "numpy errors": np.geterr(),
        "pandas": pd.get_option("display.max_rows"),
    }


CALLS = {
    "load": lambda model, pairs, out: load_model("fsrcnn-fpl-x4"),
    "save": lambda model, pairs, out: save_model(out / "a.safetensors", model),
    "restore": lambda model, pairs, out: model.restore(pairs[0].lr),
    "restore in tiles": lambda model, pairs, out: model.restore(pairs[0].lr, Tiling(8, 6)),
    "bands": lambda model, pairs, out: measure_bands([model], pairs),
    "histogram": lambda model, pairs, out: difference_histogram([model], pairs),
    "compare": lambda model, pairs, out: compare(model, load_model("bicubic"), pairs),
    "attribute": lambda model, pairs, out: local_attribution(
        model, pairs[0].lr, (8, 8, 16), n_steps=4
    ),
    "degrade": lambda model, pairs, out: BlurNoise(4)(pairs[0].hr),
    "write": lambda model, pairs, out: write_image(out / "a.jpg", pairs[0].hr),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call_changes_nothing_outside(name, model, tmp_path):
    corner = photos(4)[1].hr[:, 100:148, 180:228]
    pairs = [
        make_pair(hr, Bicubic(4), name, "crops")
        for hr, name in ((corner, "a"), (corner.flip(-1), "b"))
    ]
    CALLS[name](model, pairs, tmp_path)  # the first call may import what sets something up
    before, weights = global_state(), {k: v.clone() for k, v in model.state_dict().items()}
    inputs = [pair.hr.clone() for pair in pairs]
    CALLS[name](model, pairs, tmp_path)
    after = global_state()
    assert [key for key in before if before[key] != after[key]] == []
    assert all(torch.equal(weights[k], v) for k, v in model.state_dict().items())
    assert all(torch.equal(a, pair.hr) for a, pair in zip(inputs, pairs, strict=True))


def test_the_bytes_of_what_is_saved_are_the_same_twice(model, folder, tmp_path):
    for out in ("one", "two"):
        save_model(tmp_path / out / "a.safetensors", model)
        table = evaluate([model], [open_data(folder)], save=tmp_path / out / "sr")
        table.to_csv(tmp_path / out / "a.csv")
    one, two = (
        {p.relative_to(tmp_path / out): p.read_bytes() for p in (tmp_path / out).rglob("*.*")}
        for out in ("one", "two")
    )
    assert one == two
    assert len(one) >= 5


def test_the_order_of_the_images_does_not_matter(model, folder):
    """Exactly: each image is measured by itself."""
    pairs = list(open_data(folder))
    there = measure_bands([model], pairs).frame()
    back = measure_bands([model], pairs[::-1]).frame()
    order = list(there.columns[:4])
    there, back = (t.sort_values(order, kind="stable", ignore_index=True) for t in (there, back))
    pd.testing.assert_frame_equal(there, back, check_exact=True)
    one, other = (compare(model, load_model("bicubic"), p).gain for p in (pairs, pairs[::-1]))
    assert one.estimate == pytest.approx(other.estimate, abs=1e-12)


def test_the_size_of_the_batch_does_not_matter(model):
    """To 1e-6 of white: convolutions may add in another order."""
    lr = torch.rand(5, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    whole = model.restore(lr)
    for size in (1, 2, 3):
        parts = torch.cat([model.restore(part) for part in lr.split(size)])
        assert (parts - whole).abs().max() < 1e-6
