"""The viewer's pictures are lossless, and fit a budget."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage.filters import sobel

from srlongtail.diagnosis.report import pictures
from srlongtail.diagnosis.report.pictures import Album
from srlongtail.models.sr_model import bicubic, matlab_bicubic
from srlongtail.studies.restored import RestoredImage

MODELS = [bicubic(4), matlab_bicubic(4)]


def pixels_of(webp):
    return np.asarray(Image.open(io.BytesIO(webp)))


@pytest.fixture
def images(planted, monkeypatch):
    monkeypatch.setattr(pictures, "CROP_SIZES", (96, 64, 48, 32))  # of images of 192 pixels
    return [RestoredImage(pair) for pair in planted.images]


@pytest.fixture
def album(images):
    filled = Album("bicubic-matlab")
    for psnr, image in enumerate(images):
        filled.add(image, MODELS, 30 - psnr)  # the last is the hardest
    return filled


def test_layers_are_lossless_and_tenths_are_by_gradient(images, album):
    shown = album.chosen()
    assert [picture.name for picture in shown] == ["rocket", "coffee", "chelsea", "astronaut"]
    assert all(picture.is_whole for picture in shown)
    chelsea, pair = shown[2], images[1].pair
    hr, low, matlab = chelsea.layers
    assert [(layer.name, layer.kind) for layer in (hr, low, matlab)] == [
        ("HR", "hr"),
        ("bicubic", "bicubic"),
        ("bicubic-matlab", "network"),
    ]
    assert (pixels_of(hr.webp) == np.round(pair.hr.permute(1, 2, 0).numpy() * 255)).all()
    sr = np.floor(images[1].sr(MODELS[1]).double().permute(1, 2, 0).numpy() * 255 + 0.5)
    assert (pixels_of(matlab.webp) == sr).all()
    tenth = pixels_of(chelsea.tenth)
    if tenth.ndim == 3:
        tenth = tenth[..., 0]
    levels = np.round(pair.hr.double().numpy() * 255)
    luma = np.tensordot(np.array([65.481, 128.553, 24.966]) / 255, levels, 1) + 16
    order = np.argsort(sobel(luma, mode="nearest").ravel(), kind="stable")
    expected = np.empty(order.size)
    for number, part in enumerate(np.array_split(order, 10), start=1):
        expected[part] = number
    assert (tenth.ravel() == expected).mean() > 0.999


def test_crops_are_where_the_error_is_largest(images):
    album = Album("bicubic-matlab")
    album.add(images[0], MODELS, 30, whole=False)
    (shown,) = album.chosen()
    hr = images[0].pair.hr
    error = (images[0].sr(MODELS[1]) - hr).square().mean(0).numpy()
    means = {
        (row, column): error[row : row + 96, column : column + 96].mean()
        for row in range(0, hr.shape[-2] - 95, 8)
        for column in range(0, hr.shape[-1] - 95, 8)
    }
    assert (shown.box.top, shown.box.left) == max(means, key=means.get)
    assert (shown.box.height, shown.box.width) == (96, 96)
    small = shown.reduced(64)
    inside = pixels_of(shown.layers[1].webp)[16:80, 16:80]
    assert (pixels_of(small.layers[1].webp) == inside).all()
    assert (small.box.top, small.box.left) == (shown.box.top + 16, shown.box.left + 16)


def test_a_budget_is_kept_and_the_hardest_come_first(album):
    everything = sum(picture.bytes for picture in album.chosen())
    seen = []
    for budget in (everything, 0.8 * everything, 0.2 * everything, 0.03 * everything):
        shown = album.chosen(budget)
        assert sum(picture.bytes for picture in shown) <= budget
        seen.append([picture.is_whole for picture in shown])
    assert seen[0] == [True] * 4
    assert seen[1][0]
    assert not all(seen[1])
    assert len(seen[2]) == 4
    assert 0 < len(seen[3]) < 4


def test_easy_images_are_dropped_at_once(images):
    sizes = [picture.bytes for picture in _filled(images * 2, np.inf).chosen()]
    album = _filled(images * 2, sum(sizes[:5]) + 1)
    whole = [picture.is_whole for picture in album.chosen()]
    assert whole[:4] == [True] * 4
    assert not whole[-1]


def _filled(images, budget):
    album = Album("bicubic-matlab", budget)
    for psnr, image in enumerate(images):
        album.add(image, MODELS, 30 - psnr)
    return album


def test_albums_add_up(images, album):
    one, two = Album("bicubic-matlab"), Album("bicubic-matlab")
    for psnr, image in enumerate(images):
        (one, two)[psnr % 2].add(image, MODELS, 30 - psnr)
    assert (one + two).chosen() == album.chosen()
