"""One question has one answer: it changes nothing outside, and does not depend on how it is cut."""

import copy
import itertools
import os
import random
import shutil
import signal
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
import tqdm.std

from srlongtail import cli
from srlongtail.attribution.lam import local_attribution
from srlongtail.diagnosis.doctor import diagnose
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import ImagePair, ImageSet, make_pair, open_data, photos
from srlongtail.image.degrade import Bicubic, BlurNoise
from srlongtail.image.io import write_image
from srlongtail.image.tiles import Pieces, Tiling
from srlongtail.longtail.bands import measure_bands
from srlongtail.longtail.comparison import compare
from srlongtail.longtail.difference import difference_histogram
from srlongtail.metrics import PAPER
from srlongtail.models.checkpoint import load_model, save_model
from srlongtail.models.sr_model import bicubic
from srlongtail.provenance import provenance
from srlongtail.studies import tail
from srlongtail.studies.writing import write_result
from srlongtail.training.interruption import StoppedError
from srlongtail.training.loop import train
from tests.trust.scene import COMMANDS, check_files

TIMED = {"train", "ablate", "zoo"}  # print how fast they were


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
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "folder": Path.cwd(),
        "numpy errors": np.geterr(),
        "pandas": pd.get_option("display.max_rows"),
    }


def data(pairs: list[ImagePair], out: Path) -> ImageSet:
    for pair in pairs:
        write_image(out / "data" / f"{pair.name}.png", pair.hr)
    return open_data(out / "data")


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
    "evaluate": lambda model, pairs, out: evaluate([model], [data(pairs, out)], save=out),
    "doctor": lambda model, pairs, out: diagnose(model, data(pairs, out)),
    "draw": lambda model, pairs, out: write_result(
        out / "tail",
        tail.draw,
        tail.compute([bicubic(4), model], data(pairs, out)),
        provenance([model], []),
    ),
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


def test_training_changes_nothing_outside(recipe, tmp_path):
    train(recipe, tmp_path / "first")
    before = global_state()
    train(recipe, tmp_path / "second")
    after = global_state()
    assert [key for key in before if before[key] != after[key]] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_changes_nothing_outside_and_repeats_itself(name, scene, monkeypatch, capsys):
    """Except the way in which warnings are shown."""
    monkeypatch.setattr(sys, "argv", ["srlongtail", *COMMANDS[name].split()])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    found = []
    for _ in range(2):
        shutil.rmtree(scene / "out", ignore_errors=True)
        before = global_state()
        with monkeypatch.context() as patch:
            # Beside pytest, tyro checks its cache now and then, at random.
            patch.delitem(sys.modules, "pytest")
            cli.main()
        after = global_state()
        # Files of runs hold the time that they took.
        files = [path for path in check_files(scene / "out") if path.suffix in (".png", ".html")]
        pictures = {path: path.read_bytes() for path in files}
        found.append((pictures, "" if name in TIMED else capsys.readouterr().out))
    assert [key for key in before if before[key] != after[key]] == []
    assert found[0] == found[1]


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


@pytest.mark.parametrize(("size", "margin"), [(16, 16), (17, 12), (40, 12), (100, 12)])
def test_the_size_of_the_pieces_does_not_matter(model, size, margin):
    """To 2e-6 of white: FSRCNN's pixels depend on 10 LR pixels to each side."""
    lr = torch.rand(3, 61, 50, generator=torch.Generator().manual_seed(0))
    whole = model.restore(lr, clamp=False)
    pieces = model.restore(lr, Pieces(size, margin), clamp=False)
    assert (pieces - whole).abs().max() < 2e-6


def test_several_threads_each_with_a_model_of_its_own(model):
    """Restoring, scoring, measuring and attributing give exactly what they give one by one."""
    pairs = [
        make_pair(torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(n)), Bicubic(4))
        for n in range(6)
    ]

    def measure(pair):
        own = copy.deepcopy(model)
        sr = own.restore(pair.lr)
        bands = measure_bands([own], [pair]).frame()
        found = local_attribution(own, pair.lr, (40, 40, 16), n_steps=2)
        return sr, PAPER.score(sr, pair.hr, 4), bands["ad_levels"].tolist(), found.attributions

    one_by_one = [measure(pair) for pair in pairs]
    before = global_state()
    with ThreadPoolExecutor(3) as pool:
        at_once = list(pool.map(measure, pairs))
    after = global_state()
    assert [key for key in before if before[key] != after[key]] == []
    for one, other in zip(one_by_one, at_once, strict=True):
        assert torch.equal(one[0], other[0])
        assert one[1:3] == other[1:3]
        assert torch.equal(one[3], other[3])


def test_a_clock_that_is_set_back(recipe, tmp_path, monkeypatch):
    """No result depends on the time of day, or on the times of files."""
    whole = train(recipe, tmp_path / "whole").state_dict()
    with pytest.raises(StoppedError):
        train(recipe, tmp_path / "run", deadline=0)
    for path in (tmp_path / "run").iterdir():
        os.utime(path, (2**33, 2**33))
    clock = itertools.count(10**6, -3600)
    monkeypatch.setattr(time, "time", lambda: next(clock))
    monkeypatch.setattr(tqdm.std, "time", time.time)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    resumed = train(recipe, tmp_path / "run", resume=True).state_dict()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
