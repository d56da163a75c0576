"""`srlongtail restore` as a person types it."""

import subprocess
import sys

import pytest

from srlongtail.image.dataset import photos
from srlongtail.image.io import write_image


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
        (["nothing.pth", "lr"], "nothing.pth: no such model"),
        (["bicubic", "lr", "lr/../chelsea_x4.png"], "--out DIR"),
    ],
)
def test_mistakes_are_one_line(lr, run, arguments, says):
    write_image("chelsea_x4.png", photos(4)[0].lr[:, :8, :8])
    code, out, err = run("restore", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert says in err


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
