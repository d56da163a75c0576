"""`srlongtail restore` as a person types it."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image


def read_levels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.fixture
def lr(tmp_path, run):
    """An empty current folder, but for three small LR images in `lr`."""
    for pair in photos(4)[:3]:
        write_image(tmp_path / "lr" / f"{pair.name}.png", pair.lr[:, 20:36, 30:54])
    return tmp_path / "lr"


def test_paths_are_printed(lr, run):
    code, out, err = run("restore", "bicubic", "lr", "--out", "sr", "--tile", 8)
    names = ("astronaut", "chelsea", "coffee")
    assert (code, out.split(), err) == (0, [f"sr/{name}_x4.png" for name in names], "")


def test_pieces_write_the_same_image_as_the_whole(lr, run, tmp_path):
    write_image(lr / "tall.png", photos(4)[0].lr.repeat(1, 3, 1))
    for out, options in [("whole", []), ("pieces", ["--pieces", 32])]:
        assert run("restore", "fsrcnn-x4", "lr/tall.png", "--out", out, *options)[0] == 0
    whole, pieces = (read_levels(tmp_path / out / "tall_x4.png") for out in ("whole", "pieces"))
    assert np.abs(whole.astype(int) - pieces).max() <= 1  # rounding may tip
    assert (whole == pieces).mean() > 0.9999


def test_a_bad_file_is_named_and_the_exit_code_tells(lr, run):
    (lr / "coffee.png").write_text("<html>not found</html>")
    code, out, err = run("restore", "bicubic", "lr/coffee.png", "lr/chelsea.png")
    assert (code, out) == (2, "chelsea_x4.png\n")
    note, error = err.splitlines()
    assert note.startswith("srlongtail: note: lr/coffee.png: an HTML page")
    assert error == "srlongtail: error: 1 of 2 images not restored: lr/coffee.png"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["bicubic"], "no image named"),
        (["bicubic", "lr", "--tile", 4], "--tile 4, expected at least 8 LR pixels"),
        (["bicubic", "lr", "--pieces", 48], "--pieces 48, expected a multiple of 32 LR pixels"),
        (["bicubic", "lr", "--pieces", 32, "--tile", 32], "--tile and --pieces exclude each other"),
        (["nothing.pth", "lr"], "nothing.pth: no such model"),
        (["bicubic", "lr", "lr/../chelsea_x4.png"], "--out DIR"),
    ],
)
def test_mistakes_are_one_line(lr, run, arguments, says):
    write_image("chelsea_x4.png", photos(4)[0].lr[:, :8, :8])
    code, out, err = run("restore", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert says in err


@pytest.mark.slow
def test_torchrun_shares_the_images_out(lr):
    command = ["srlongtail.cli", "restore", "bicubic", "lr", "--out"]
    subprocess.run([sys.executable, "-m", *command, "one"], check=True)
    torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m"]
    shared_out = subprocess.run(
        [sys.executable, "-m", *torchrun, *command, "two"], check=True, capture_output=True
    )
    assert len(shared_out.stdout.split()) == 3
    for name in ("astronaut", "chelsea", "coffee"):
        one, two = (lr.parent / folder / f"{name}_x4.png" for folder in ("one", "two"))
        assert one.read_bytes() == two.read_bytes()
