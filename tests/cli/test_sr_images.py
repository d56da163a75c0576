"""Folders of SR images on the command line: in the place of networks, saved and refused."""

import json
from pathlib import Path

import pandas as pd
import pytest

from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image


@pytest.fixture(autouse=True)
def results(run):
    """A small data set and SR images of somebody's network, in the folder of the commands."""
    for pair in photos(4)[:2]:
        hr = pair.hr[:, 100:196, 100:184]
        write_image(Path("results/HR") / f"{pair.name}.png", hr)
        write_image(Path("results/SwinIR") / f"{pair.name}_SwinIR.png", 0.9 * hr)


def test_evaluate(run):
    code, out, err = run(
        "evaluate", "results/SwinIR", "bicubic", "--data", "results/HR", "--out", "s.csv"
    )
    assert code == 0
    assert "note: SwinIR: SR images, scale 4 by default; --scale sets it\n" in err
    lr = "LR made from HR by bicubic; LR of SwinIR unknown (SR images)"
    assert f"note: results: {lr}\n" in err
    alone = run("evaluate", "results/SwinIR", "--data", "results/HR")[2]
    assert "note: results: LR of SwinIR unknown (SR images)\n" in alone
    assert "LR made" not in alone
    table = pd.read_csv("s.csv")
    assert table["model"].tolist() == ["SwinIR"] * 2 + ["bicubic"] * 2
    assert out.splitlines()[1].split()[:2] == ["SwinIR", "results"]
    record = json.loads(Path("s.json").read_text())["models"][0]
    assert (record["folder"], record["sr_images"], len(record["sha256"])) == ("SwinIR", 2, 64)


def test_saved_images_score_the_same(run):
    data = ("--data", "results/HR")
    assert run("evaluate", "fsrcnn-x4", *data, "--save", "out", "--out", "one.csv")[0] == 0
    assert run("evaluate", "out/fsrcnn-x4", *data, "--out", "two.csv")[0] == 0
    one, two = (pd.read_csv(path, dtype=str) for path in ("one.csv", "two.csv"))
    pd.testing.assert_frame_equal(one.drop(columns="lr"), two.drop(columns="lr"))
    assert set(two["lr"]) == {"unknown"}


def test_histogram_weights_and_compare(run):
    data = ("--data", "results/HR")
    assert run("histogram", "results/SwinIR", "fsrcnn-x4", *data, "--out", "h")[0] == 0
    assert set(pd.read_csv("h/histogram.csv")["model"]) == {"bicubic", "SwinIR", "fsrcnn-x4"}
    assert run("weights", "results/SwinIR", "results/HR/chelsea.png", "--out", "w")[0] == 0
    assert Path("w/weights.npz").is_file()
    code, out, _ = run("compare", "bicubic", "results/SwinIR", *data, "--out", "c")
    assert code == 0
    assert out.startswith("SwinIR against bicubic: ")
    record = json.loads(Path("c/compare.json").read_text())
    assert [model["name"] for model in record["models"]] == ["bicubic", "SwinIR"]


def test_the_scale_is_that_of_the_other_models(run):
    code, _, err = run("evaluate", "results/SwinIR", "fsrcnn-x2", "--data", "results/HR")
    assert (code, "by default" in err) == (0, False)


def test_or_that_of_the_data_sets_lr_images(run):
    for name in ("astronaut", "chelsea"):
        lr = photos(4)[0].lr[:, :48, :42]
        write_image(Path("results/LR_bicubic/X2") / f"{name}x2.png", lr)
    code, out, err = run("evaluate", "results/SwinIR", "bicubic", "--data", "results")
    assert code == 0
    assert "SwinIR: SR images, scale 2 by the LR images of the data set; --scale sets it" in err
    assert "results: LR stored in LR_bicubic/X2" in err
    assert [line.split()[-1] for line in out.splitlines()[1:]] == ["unknown", "stored"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("attribute results/SwinIR results/HR/chelsea.png", "results/SwinIR: a folder of images"),
        ("inspect results/SwinIR", "expected a network"),
        ("restore results/SwinIR results/HR", "expected a network"),
        ("figures --models results/SwinIR", "expected a network"),
        ("evaluate results/SwinIR --data photos", "no SR image of coffee, rocket"),
        ("evaluate results/HR --data results/HR", "is an image of results itself"),
        ("evaluate results/SwinIR --predicts image", "SR images, expected no --predicts image"),
        ("evaluate results/SwinIR --data results/HR --save results", "among images that are read"),
    ],
)
def test_what_cannot_be_is_one_line(run, arguments, says):
    code, out, err = run(*arguments.split())
    errors = [line for line in err.splitlines() if not line.startswith("srlongtail: note: ")]
    assert (code, out, len(errors)) == (2, "", 1)
    assert says in errors[0]
