"""SR files of LR files: which are written, from what, and what is named instead."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from srlongtail.errors import InputError
from srlongtail.image.dataset import photos
from srlongtail.image.io import read_image, write_image
from srlongtail.image.tiles import Tiling
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_model import bicubic
from srlongtail.restoration import restore_files


@pytest.fixture
def lr(tmp_path):
    """A folder of small LR images: one of 8 bits, one of 16, one grey, one with transparency."""
    crops = [pair.lr[:, 20:36, 30:54] for pair in photos(4)]
    write_image(tmp_path / "lr" / "eight.png", crops[0])
    write_image(tmp_path / "lr" / "sixteen.tif", crops[1], bits=16)
    levels = (crops[2].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(levels[..., 1]).save(tmp_path / "lr" / "grey.png")
    alpha = np.full_like(levels[..., :1], 128)
    Image.fromarray(np.dstack([levels, alpha])).save(tmp_path / "lr" / "alpha.png")
    return tmp_path / "lr"


def test_files_are_what_the_model_restores_in_eight_bits(lr, tmp_path):
    with pytest.warns(UserWarning, match=r"alpha.png: transparency laid over white"):
        written, failed = restore_files(bicubic(4), [lr], tmp_path / "sr")
    assert failed == {}
    names = ["alpha_x4.png", "eight_x4.png", "grey_x4.png", "sixteen_x4.png"]
    assert written == [tmp_path / "sr" / name for name in names]
    for path, source in zip(written[1:], ("eight.png", "grey.png", "sixteen.tif"), strict=True):
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("RGB", (96, 64))
            stored = np.asarray(image)
        sr = bicubic(4).restore(read_image(lr / source)).permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(stored, np.floor(sr.astype(np.float64) * 255 + 0.5))
    grey = np.asarray(Image.open(tmp_path / "sr" / "grey_x4.png"))
    assert (grey == grey[..., :1]).all()


def test_tiles_and_white_reach_the_model_and_the_reader(lr, tmp_path, monkeypatch):
    model, seen = bicubic(2), []
    restore = type(model).restore

    def spy(self, image, tile=None):
        seen.append((image.max().item(), tile))
        return restore(self, image, tile)

    monkeypatch.setattr(type(model), "restore", spy)
    peak = read_image(lr / "sixteen.tif").max().item() * 65535
    for white in (None, peak):
        restore_files(model, [lr / "sixteen.tif"], tmp_path / "sr", tile=Tiling(8, 6), white=white)
    assert seen[0] == (pytest.approx(peak / 65535), Tiling(8, 6))
    assert seen[1] == (1.0, Tiling(8, 6))


def test_bad_files_are_named_before_the_work_and_the_others_are_done(lr, tmp_path):
    whole = (lr / "eight.png").read_bytes()
    (lr / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty").mkdir()
    images = [tmp_path / "missing.png", tmp_path / "empty", lr / "cut.png", lr / "eight.png"]
    with pytest.warns(UserWarning, match="no such file") as noted:
        written, failed = restore_files(bicubic(4), images, tmp_path / "sr")
    assert [path.name for path in written] == ["eight_x4.png"]
    assert set(failed) == set(images[:3])
    told = {str(w.message) for w in noted if issubclass(w.category, UserWarning)}
    assert told == set(map(str, failed.values()))
    assert "no images in this folder" in str(failed[tmp_path / "empty"])
    assert "no such file" in str(failed[tmp_path / "missing.png"])


def test_an_image_that_the_network_refuses_costs_no_other(lr, tmp_path):
    class Narrow(torch.nn.Upsample):
        def forward(self, image):
            if image.shape[-1] > 24:
                raise InputError("images of at most 24 pixels, expected smaller ones")
            return super().forward(image)

    model = bicubic(4)
    model.network = Narrow(scale_factor=4)
    write_image(lr / "aaa_wide.png", torch.rand(3, 8, 40))
    with pytest.warns(UserWarning, match=r"aaa_wide.png: bicubic: images of at most 24 pixels"):
        written, failed = restore_files(model, [lr / "aaa_wide.png", lr / "eight.png"], tmp_path)
    assert [path.name for path in written] == ["eight_x4.png"]
    assert set(failed) == {lr / "aaa_wide.png"}


def test_one_file_named_twice_is_restored_once(lr, tmp_path):
    images = [lr / "eight.png", lr / ".." / "lr" / "eight.png"]
    assert len(restore_files(bicubic(4), images, tmp_path / "sr").written) == 1


def test_no_name_is_taken_twice_and_no_input_replaced(lr, tmp_path):
    write_image(lr / "EIGHT.bmp", torch.rand(3, 8, 8))
    with pytest.raises(InputError, match=r"EIGHT.bmp and .*eight.png: both .* called eight_x4.png"):
        restore_files(bicubic(4), [lr], tmp_path / "sr")
    assert not (tmp_path / "sr").exists()
    (lr / "EIGHT.bmp").unlink()
    write_image(lr / "eight_x4.png", torch.rand(3, 8, 8))
    before = (lr / "eight_x4.png").read_bytes()
    with pytest.raises(
        InputError, match=r"eight_x4.png: an input that the SR image of .* would replace; .*out=DIR"
    ):
        restore_files(bicubic(4), [lr], lr)
    assert (lr / "eight_x4.png").read_bytes() == before


# Runs the command line, and prints the largest memory that it took, in bytes.
MEASURED = """
import resource
import sys
from srlongtail.cli.main import main
main()
largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(largest if sys.platform == "darwin" else 1024 * largest)
"""


@pytest.mark.slow
def test_40_megapixels_in_tiles_take_less_than_2_gigabytes(tmp_path):
    large = tmp_path / "large.png"
    write_image(large, torch.rand(3, 1370, 1826, generator=torch.Generator().manual_seed(0)))
    restore = ["restore", "fsrcnn-x4", large, "--tile", "128", "--out", tmp_path]
    command = [sys.executable, "-c", MEASURED, *restore]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout.splitlines()[-1]) < 2e9
    sr = read_image(tmp_path / "large_x4.png")
    assert sr.shape == (3, 5480, 7304)
    # The first tile's upper left part is in no other tile, and far from the tile's own borders.
    part = load_model("fsrcnn-x4").restore(read_image(large)[:, :96, :96])
    assert (sr[:, :320, :320] - part[:, :320, :320]).abs().max() < 0.51 / 255
