"""Reading and writing, against Pillow, pypng and tifffile themselves."""

import contextlib
import warnings

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image, ImageOps

from srlongtail.errors import InputError, InputWarning
from srlongtail.image.io import (
    SUFFIXES,
    check_image,
    image_from_array,
    quantize,
    read_image,
    write_image,
)


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)


def as_array(image: torch.Tensor, levels: int = 255) -> np.ndarray:
    return (image.double() * levels).round().permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in (".jpg", ".jpeg")])
def test_lossless_formats_return_what_was_written(tmp_path, pixels, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, image_from_array(pixels))
    assert (as_array(read_image(path)) == pixels).all()
    assert (np.asarray(Image.open(path).convert("RGB")) == pixels).all()


def test_jpeg_is_close(tmp_path):
    smooth = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[:, None, None], (1, 16, 3))
    write_image(tmp_path / "a.jpg", image_from_array(smooth))
    assert np.abs(as_array(read_image(tmp_path / "a.jpg")) - smooth).max() <= 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_depth(tmp_path, suffix):
    deep = np.random.default_rng(1).integers(0, 65536, (6, 5, 3), dtype=np.uint16)
    path = tmp_path / f"deep{suffix}"
    if suffix == ".png":
        png.from_array(deep.reshape(6, -1), "RGB;16").save(path)
    else:
        tifffile.imwrite(path, deep, photometric="rgb")
    image = read_image(path)
    assert np.abs(image.permute(1, 2, 0).numpy() * 65535 - deep).max() < 0.01
    write_image(path, image, bits=16)
    assert (as_array(read_image(path), 65535) == deep).all()


def test_sixteen_bit_grey_png(tmp_path):
    deep = np.array([[0, 1, 65535], [256, 4660, 32768]], dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "grey.png")
    image = read_image(tmp_path / "grey.png")
    assert image.shape == (3, 2, 3)
    assert np.abs(image[1].numpy() * 65535 - deep).max() < 0.01


def test_planar_sixteen_bit_tiff(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (3, 6, 5), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "p.tif", deep, photometric="rgb", planarconfig="separate")
    assert np.abs(read_image(tmp_path / "p.tif").numpy() * 65535 - deep).max() < 0.01


def test_grey_becomes_three_equal_channels(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "g.png")
    image = read_image(tmp_path / "g.png")
    assert (as_array(image) == grey[..., None]).all()


@pytest.mark.parametrize("mode", ["P", "1", "CMYK"])
def test_other_colour_modes_read_as_pillow_converts_them(tmp_path, pixels, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.fromarray(pixels).convert(mode).save(path)
    assert (as_array(read_image(path)) == np.asarray(Image.open(path).convert("RGB"))).all()


def test_transparency_is_laid_over_white_with_a_warning(tmp_path):
    rgba = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 51]]], dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "t.png")
    with pytest.warns(UserWarning, match=r"t\.png: transparency laid over white"):
        image = read_image(tmp_path / "t.png")
    assert as_array(image)[0].tolist() == [[255] * 3, [10, 20, 30], [204] * 3]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, pixels, orientation):
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / "o.png", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "o.png")))
    assert (as_array(read_image(tmp_path / "o.png")) == expected).all()


def test_quantize_rounds_halves_up_and_clamps():
    halves = (torch.arange(255, dtype=torch.float64) + 0.5) / 255
    assert torch.equal(quantize(halves) * 255, torch.arange(1.0, 256.0, dtype=torch.float64))
    assert quantize(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 1.0]


def cut_in_half(path):
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def test_files_that_are_no_images(tmp_path, pixels):
    with pytest.raises(InputError, match=r"none\.png: no such file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(InputError, match=r"text\.png: not an image in a known format"):
        read_image(tmp_path / "text.png")
    Image.fromarray(np.resize(pixels, (60, 50, 3))).save(tmp_path / "cut.png")
    cut_in_half(tmp_path / "cut.png")
    with pytest.raises(InputError, match=r"cut\.png: damaged or unreadable"):
        read_image(tmp_path / "cut.png")
    deep = np.random.default_rng(0).integers(0, 65536, (50, 150), dtype=np.uint16)
    png.from_array(deep, "RGB;16").save(tmp_path / "deep.png")
    cut_in_half(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png: damaged or unreadable"):
        read_image(tmp_path / "deep.png")


def test_writing_refuses_and_leaves_nothing(tmp_path):
    image = torch.rand(3, 4, 4)
    with pytest.raises(InputError, match=r"cannot write \.gif"):
        write_image(tmp_path / "a.gif", image)
    with pytest.raises(InputError, match="16 bits, expected 8, or 16 for PNG and TIFF"):
        write_image(tmp_path / "a.jpg", image, bits=16)
    with pytest.raises(InputError, match=r"shape \(4, 4\), expected \(3, H, W\)"):
        write_image(tmp_path / "a.png", image[0])
    assert list(tmp_path.iterdir()) == []


def stored_as(path, pixels, **options):
    tifffile.imwrite(path, pixels, **options)
    return path


def test_more_bands_than_rgb_are_refused_by_name(tmp_path):
    bands = np.random.default_rng(0).integers(0, 65536, (8, 6, 4), dtype=np.uint16)
    rgb = {"photometric": "rgb"}
    grey = {"photometric": "minisblack"}
    planar = {**grey, "planarconfig": "separate"}
    eight = (bands >> 8).astype(np.uint8)
    cases = {
        "contig": (bands, {**grey, "planarconfig": "contig"}),
        "planar": (bands.transpose(2, 0, 1), planar),
        "eight": (eight, {**grey, "planarconfig": "contig"}),
        "infrared": (bands, {**rgb, "extrasamples": ["unspecified"]}),
        "infrared8": (eight, {**rgb, "extrasamples": ["unspecified"]}),
        "five": (np.dstack([bands, bands[..., :1]]), {**grey, "planarconfig": "contig"}),
        "floats": (bands.astype(np.float32) / 65535, {**grey, "planarconfig": "contig"}),
        "two": (bands[..., :2], {**grey, "planarconfig": "contig"}),
    }
    for name, (pixels, options) in cases.items():
        path = stored_as(tmp_path / f"{name}.tif", pixels, **options)
        for read in (read_image, check_image):
            with pytest.raises(
                InputError, match=rf"{name}\.tif: [245] bands of \d+ bits, expected"
            ):
                read(path)
    pages = stored_as(tmp_path / "pages.tif", bands.transpose(2, 0, 1), **grey)
    with pytest.raises(InputError, match=r"pages\.tif: 4 pages, expected one image"):
        read_image(pages)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_only_what_a_tiff_file_calls_alpha_is_transparency(tmp_path, dtype, kind):
    full = np.iinfo(dtype).max
    pixels = np.zeros((4, 4, 4), dtype)
    pixels[..., 3] = full // 5  # black, of which a fifth is seen
    path = stored_as(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=[kind])
    with pytest.warns(UserWarning, match="transparency laid over white"):
        image = read_image(path)
    assert image.numpy() == pytest.approx(0.8, abs=1 / 255)


def test_floating_point_tiff(tmp_path):
    values = np.random.default_rng(0).random((8, 6, 3), dtype=np.float32)
    path = stored_as(tmp_path / "f.tif", values, photometric="rgb")
    with pytest.warns(InputWarning, match="floating point pixels up to 0.9.*; 1 is white, white=N"):
        image = read_image(path)
    assert np.array_equal(image.numpy(), values.transpose(2, 0, 1))
    large = stored_as(tmp_path / "g.tif", values * 255, photometric="rgb")
    with pytest.raises(InputError, match=r"float32 pixels from .* expected 0 to 1; white=N sets"):
        read_image(large)
    assert np.allclose(read_image(large, white=255).numpy(), image.numpy(), atol=1e-6)
    with pytest.raises(InputError, match="white 0, expected a positive number"):
        read_image(large, white=0)
    for bad in (np.nan, -0.5):
        holed = values.copy()
        holed[0, 0, 0] = bad
        with pytest.raises(InputError, match="float32 pixels from"):
            read_image(stored_as(tmp_path / "h.tif", holed, photometric="rgb"))


def test_fewer_bits_than_the_file_has_room_for_are_told_with_the_evidence(tmp_path):
    for bits in (8, 10, 12, 14):
        levels = np.array([[0, 2**bits - 1]], np.uint16)
        path = stored_as(tmp_path / "d.tif", levels)
        message = f"no value above {2**bits - 1}: {bits} bits. white={2**bits - 1} treats"
        with pytest.warns(InputWarning, match=message):
            read_image(path)
        assert read_image(path, white=2**bits - 1).max() == 1
    read_image(stored_as(tmp_path / "d.tif", np.array([[0, 40000]], np.uint16)))  # no warning


def test_white_is_for_deep_files_alone(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert torch.equal(read_image(tmp_path / "a.png", white=4095), read_image(tmp_path / "a.png"))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_check_finds_the_size_and_what_is_cut_off(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    write_image(path, torch.rand(3, 40, 30))
    facts = check_image(path)
    assert (facts.height, facts.width, facts.bits) == (40, 30, 8)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(InputError, match=rf"a\{suffix}: damaged or unreadable"):
        check_image(path)


def test_a_check_finds_changed_bytes_of_a_png(tmp_path):
    write_image(tmp_path / "a.png", torch.rand(3, 40, 30))
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.png: damaged"):
        check_image(tmp_path / "a.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_check_gives_the_size_of_the_upright_image(tmp_path, pixels, orientation, suffix):
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    exif[0x0112] = orientation
    picture.save(tmp_path / f"o{suffix}", exif=exif)
    facts = check_image(tmp_path / f"o{suffix}")
    assert (facts.height, facts.width) == read_image(tmp_path / f"o{suffix}").shape[1:]


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"", "an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "an HTML page, not an image"),
        (b"\0\0\0\x20ftypheic", "heic .HEIF family. is not supported"),
        (b"v/1\x01" + b"\0" * 20, "OpenEXR is not supported"),
        (b"\0\5\x16\7" + b"\0" * 100, "a file of macOS beside an image"),
        (b"hello", "not an image in a known format"),
    ],
)
def test_other_files_are_called_by_what_they_are(tmp_path, start, what):
    (tmp_path / "a.png").write_bytes(start)
    for read in (read_image, check_image):
        with pytest.raises(InputError, match=rf"a\.png: {what}.*, expected one of \.png"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_whatever_damage_to_a_tiff_file_does_is_one_line(tmp_path, compression):
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tif"
    values = rng.random((12, 10, 3), dtype=np.float32)
    whole = stored_as(path, values, photometric="rgb", compression=compression).read_bytes()
    for _ in range(40):
        damaged = bytearray(whole)
        for at in rng.integers(4, len(whole), 6):
            damaged[at] = rng.integers(256)
        path.write_bytes(damaged[: rng.integers(len(whole) // 2, 2 * len(whole))])
        with contextlib.suppress(InputError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read_image(path)


def test_grey_that_is_white_at_zero(tmp_path):
    for levels in (np.array([[0, 255]], np.uint8), np.array([[0, 65535]], np.uint16)):
        path = stored_as(tmp_path / "w.tif", levels, photometric="miniswhite")
        assert read_image(path)[0].tolist() == [[1, 0]]
