"""The doctor finds conventions that were planted, by numbers that are computed independently.

`UPDATE_DOCS=1 pytest tests/diagnosis/test_doctor.py` writes the table in docs/doctor.md anew.
"""

import copy
import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import nn

from srlongtail.diagnosis.conventions import Conventions, Space, find_space
from srlongtail.diagnosis.doctor import (
    Claim,
    Diagnosis,
    Level,
    Printed,
    Scored,
    diagnose,
    search,
)
from srlongtail.diagnosis.restorations import Restorations
from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate, summarize
from srlongtail.image.dataset import open_data, photos
from srlongtail.image.io import write_image
from srlongtail.image.registration import ALIGNED, Shift
from srlongtail.metrics import PAPER, Y_CHANNEL, Score
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_images import SRImages
from srlongtail.models.sr_model import SRModel, bicubic

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
ROWS = r"(\| planted \|.*\n\| --- .*\n)((?:\|.*\n)*)"  # the head of a table, and its rows
SCALE = 4
Array = NDArray[np.float64]
Plant = tuple[str, tuple[str, ...], Conventions]  # protocol, departures, the set


# --- an independent computation of any set of conventions ---------------------------------------


def keys_cubic(x: Array) -> Array:
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def matlab_matrix(size: int) -> Array:
    """The weights of MATLAB's imresize by 1/4 along one axis, (size / 4, size)."""
    matrix = np.zeros((size // SCALE, size))
    for row in range(size // SCALE):
        centre = (row + 0.5) * SCALE - 0.5
        taps = np.arange(np.floor(centre - 2 * SCALE), np.ceil(centre + 2 * SCALE) + 1)
        weights = keys_cubic((taps - centre) / SCALE)
        mirrored = taps.astype(int) % (2 * size)
        np.add.at(
            matrix[row], np.minimum(mirrored, 2 * size - 1 - mirrored), weights / weights.sum()
        )
    return matrix


def along(matrix: Array, image: Array, axis: int) -> Array:
    """The image (H, W, 3) with a matrix applied along one axis."""
    return np.moveaxis(np.tensordot(matrix, image, axes=(1, axis)), 0, axis)


def to_levels(image: Array) -> Array:
    return np.floor(np.clip(image, 0, 255) + 0.5)


def lr_of(hr: Array, rule: str | None) -> Array:
    """The LR image (h, w, 3), in levels."""
    rows, columns = (matlab_matrix(side) for side in hr.shape[:2])
    if rule == "matlab-twice":
        low = to_levels(along(rows, hr, 0))
        return to_levels(along(columns, low, 1))
    if rule in ("matlab", "matlab-float"):
        lr = along(columns, along(rows, hr, 0), 1)
        return lr if rule == "matlab-float" else to_levels(lr)
    if rule == "pillow":
        size = hr.shape[1] // SCALE, hr.shape[0] // SCALE
        return np.array(Image.fromarray(hr.astype(np.uint8)).resize(size, 3), dtype=np.float64)
    if rule == "torch":  # taps of a = -0.75 at half a pixel, as OpenCV has them
        taps = np.array([-0.09375, 0.59375, 0.59375, -0.09375])
        for axis in (0, 1):
            starts = np.arange(0, hr.shape[axis], SCALE)
            hr = sum(tap * hr.take(starts + k, axis) for k, tap in enumerate(taps))
        return to_levels(hr)
    tensor = torch.from_numpy(hr).permute(2, 0, 1)[None]
    size = (hr.shape[0] // SCALE, hr.shape[1] // SCALE)
    lr = F.interpolate(tensor, size, mode="bicubic", antialias=True)
    return to_levels(lr[0].permute(1, 2, 0).numpy())


def restored(network: nn.Module, lr: Array, planted: Conventions) -> Array:
    """The SR image in levels, neither clamped nor rounded."""
    if planted.order == "bgr":
        lr = lr[..., ::-1]
    white = float(planted.value_range or 1)
    network = copy.deepcopy(network).train(planted.batch_norm == "train")
    image = torch.from_numpy(np.ascontiguousarray(lr / 255)).permute(2, 0, 1).float()

    def enlarge(batch: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            out = network(batch * white) / white
        if planted.predicts == "residual":
            out = out + F.interpolate(batch, scale_factor=SCALE, mode="bicubic")
        return out

    if planted.restored == "whole":
        sr = enlarge(image[None])[0]
    else:
        height, width = image.shape[1:]
        corners = [
            (min(top, height - 32), min(left, width - 32))
            for top in range(0, height - 4, 28)
            for left in range(0, width - 4, 28)
        ]
        corners = list(dict.fromkeys(corners))
        made = enlarge(torch.stack([image[:, r : r + 32, c : c + 32] for r, c in corners]))
        total, count = torch.zeros(3, 4 * height, 4 * width), torch.zeros(4 * height, 4 * width)
        for (r, c), tile in zip(corners, made, strict=True):
            total[:, 4 * r : 4 * r + 128, 4 * c : 4 * c + 128] += tile
            count[4 * r : 4 * r + 128, 4 * c : 4 * c + 128] += 1
        sr = total / count
    array = sr.permute(1, 2, 0).double().numpy() * 255
    return array[..., ::-1] if planted.order == "bgr" else array


def planes_of(image: Array, channels: str) -> list[Array]:
    if channels == "rgb":
        return [image[..., channel] for channel in range(3)]
    studio = image @ np.array([65.481, 128.553, 24.966]) / 255 + 16
    y = studio if channels in ("y", "y-rounded") else image @ np.array([0.299, 0.587, 0.114])
    return [to_levels(y) if channels.endswith("rounded") else y]


def scored(srs: list[Array], hrs: list[Array], planted: Conventions) -> tuple[float, float]:
    """PSNR and SSIM of a set, by scikit-image."""
    psnrs, ssims = [], []
    for sr, hr in zip(srs, hrs, strict=True):
        if planted.rounding == "rounded":
            sr = to_levels(sr)
        elif planted.rounding == "clamped":
            sr = np.clip(sr, 0, 255)
        border = planted.border
        inner = (slice(border, hr.shape[0] - border), slice(border, hr.shape[1] - border))
        a, b = (np.stack(planes_of(i[inner], planted.channels)) for i in (sr, hr))
        psnrs.append(peak_signal_noise_ratio(b, a, data_range=255))
        kernel: dict[str, Any] = {}
        if planted.ssim == "gaussian":
            kernel = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        pairs = zip(*(planes_of(i[inner], planted.ssim_of) for i in (sr, hr)), strict=True)
        ssims.append(
            np.mean([structural_similarity(x, y, data_range=255, **kernel) for x, y in pairs])
        )
    if planted.mean == "error":
        return -10 * np.log10(np.mean([10 ** (-p / 10) for p in psnrs])), float(np.mean(ssims))
    return float(np.mean(psnrs)), float(np.mean(ssims))


def planted_claim(network: nn.Module, hrs: list[Array], planted: Conventions) -> Claim:
    unit = planted.mod_crop
    hrs = [hr[: len(hr) - len(hr) % unit, : hr.shape[1] - hr.shape[1] % unit] for hr in hrs]
    srs = [restored(network, lr_of(hr, planted.lr), planted) for hr in hrs]
    psnr, ssim = scored(srs, hrs, planted)
    return Claim.parse(f"{psnr:.2f}", f"{ssim:.4f}")


# --- what is planted into -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parts of the built-in photos, whose sides are multiples of 4, and not of 12."""
    root = tmp_path_factory.mktemp("photos") / "parts"
    for pair in photos(4)[1:3]:
        write_image(root / f"{pair.name}.png", pair.hr[:, 60:196, 90:250])
    return root


@pytest.fixture(scope="module")
def arrays(folder):
    paths = sorted(folder.glob("*.png"))
    return [np.array(Image.open(path), dtype=np.float64) for path in paths]


class Normalized(nn.Module):
    """A network with a BatchNorm at its end that changes nothing in eval mode."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.norm = nn.BatchNorm2d(3, eps=1e-12)
        with torch.no_grad():
            self.norm.running_var.fill_(0.05**2)
            self.norm.weight.fill_(0.05)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.norm(self.network(image))


@pytest.fixture(scope="module")
def model():
    """The shipped FSRCNN + FPL, with a BatchNorm."""
    network = load_model("fsrcnn-fpl-x4").network
    return SRModel(Normalized(network), 4, predicts="residual", name="fsrcnn-fpl-x4")


@pytest.fixture(scope="module")
def network_bench(model, folder):
    data = open_data(folder, 4)
    return Restorations(model, data), find_space(model, data)


@pytest.fixture(scope="module")
def sr_bench(network_bench, folder, tmp_path_factory):
    """SR images of that network in a folder: half a pixel too low."""
    restorations, space = network_bench
    root = tmp_path_factory.mktemp("sr") / "SR"
    for index, name in enumerate(restorations.data.names):
        given = space.protocols["paper"].input()._replace(mod_crop=4)
        sr = restorations.images(given, index)[0].clamp(0, 1).double().numpy()
        low = np.stack([ndimage.shift(plane, (0.5, 0), order=5, mode="mirror") for plane in sr])
        write_image(root / f"{name}.png", torch.from_numpy(low))
    images, data = SRImages(root, 4), restorations.data
    bench = Restorations(images, images.fit(data))
    bench.shift = bench.find_shift(find_space(images, data).protocols["paper"].input())
    return bench, find_space(images, data, is_shifted=True)


def single_plants(space: Space) -> list[Plant]:
    plants = [(name, (), base) for name, base in space.protocols.items()]
    for name in space.protocols:
        plants += [(name, axes, c) for axes, c in space.departures(name, 1)]
    return plants


def pair_plants(space: Space) -> list[Plant]:
    """Two departures that people make together."""
    wanted = [
        ("y", {"channels": "y-full", "border": 0}),
        ("y", {"channels": "y-rounded", "lr": "pillow"}),
        ("paper", {"mod_crop": 4, "lr": "torch"}),
        ("paper", {"border": 10, "mean": "error"}),
    ]
    return [
        (name, axes, c)
        for name, values in wanted
        for axes, c in space.departures(name, 2)
        if all(getattr(c, axis) == value for axis, value in values.items())
    ]


# --- what is found ------------------------------------------------------------------------------


class Found(NamedTuple):
    planted: Scored
    claim: Claim
    level: Level

    @property
    def among(self) -> bool:
        """Whether the planted set is one of those found."""
        return self.planted.conventions in [match.conventions for match in self.level.matches]

    def row(self) -> str:
        others = [m for m in self.level.matches if m.conventions != self.planted.conventions]
        cells = (
            str(self.planted),
            str(self.claim),
            str(self.level.departures),
            "yes" if self.among else "no: fewer departures give the same digits",
            "; ".join(map(str, others)) or "-",
        )
        return "| " + " | ".join(cells) + " |\n"


def find(bench: tuple[Restorations, Space], plant: Plant, claim: Claim) -> Found:
    restorations, space = bench
    protocol, axes, conventions = plant
    levels, _ = search(restorations, space, claim)
    planted = Scored(conventions, restorations.score(conventions), protocol, axes)
    return Found(planted, claim, levels[-1])


@pytest.fixture(scope="module")
def on_network(network_bench, model, arrays):
    plants = single_plants(network_bench[1]) + pair_plants(network_bench[1])
    return [find(network_bench, p, planted_claim(model.network, arrays, p[2])) for p in plants]


@pytest.fixture(scope="module")
def on_images(sr_bench, arrays):
    """Plants in the folder of SR images; what it is moved back by is the true half pixel."""
    bench, space = sr_bench
    found = []
    for plant in single_plants(space):
        planted, srs, hrs = plant[2], [], []
        for index, hr in enumerate(arrays):
            path = bench.model.folder / f"{bench.data.names[index]}.png"
            sr = np.array(Image.open(path), dtype=np.float64)
            sr = sr[..., ::-1] if planted.order == "bgr" else sr
            if planted.registered:
                back = [
                    ndimage.shift(plane, (-0.5, 0), order=3, mode="reflect")
                    for plane in np.moveaxis(sr, -1, 0)
                ]
                sr = np.stack(back, axis=-1)
            height, width = (side - side % planted.mod_crop for side in hr.shape[:2])
            srs.append(sr[:height, :width])
            hrs.append(hr[:height, :width])
        psnr, ssim = scored(srs, hrs, planted)
        found.append(find(sr_bench, plant, Claim.parse(f"{psnr:.2f}", f"{ssim:.4f}")))
    return found


@pytest.mark.parametrize("where", ["on_network", "on_images"])
def test_every_planted_set_is_found(where, request):
    found = request.getfixturevalue(where)
    assert len(found) > 20
    for plant in found:
        departures, label = len(plant.planted.departures), str(plant.planted)
        assert plant.level.matches, label
        assert plant.level.departures <= departures, label
        assert plant.among or plant.level.departures < departures, label


def test_most_planted_sets_are_identified(on_network, on_images):
    found = [*on_network, *on_images]
    alone = [plant for plant in found if plant.among and len(plant.level.matches) == 1]
    assert len(alone) > 0.6 * len(found)
    assert all(plant.level.by_chance < 0.5 for plant in found)


def test_the_page_shows_what_is_found(on_network, on_images):
    if os.environ.get("UPDATE_DOCS"):
        tables = ("".join(plant.row() for plant in found) for found in (on_network, on_images))
        PAGE.write_text(re.sub(ROWS, lambda head: head[1] + next(tables), PAGE.read_text()))
    rows = "".join(table[2] for table in re.finditer(ROWS, PAGE.read_text())).splitlines()
    assert len(rows) == len(on_network) + len(on_images)
    for line, plant in zip(rows, [*on_network, *on_images], strict=True):
        planted, claim, departures, *_ = (cell.strip() for cell in line.strip("|").split("|"))
        assert (planted, departures) == (str(plant.planted), str(plant.level.departures))
        shown = [float(number) for number in claim.replace("dB", "").split("/")]
        # Another processor may round the last digit otherwise.
        assert shown[0] == pytest.approx(plant.claim.psnr.value, abs=0.011)
        assert shown[1] == pytest.approx(plant.claim.ssim.value, abs=0.00011)


def test_how_claims_are_read():
    assert Printed("29.00").covers(29.0049)
    assert not Printed("29.00").covers(29.0051)
    assert Printed("29.0").covers(29.04)
    assert Printed(".8565").covers(0.85646)
    assert not Claim.parse("29.00", "0.8565").covers(Score(29.0, 0.8566))
    assert Claim.parse("29.00").covers(Score(29.0, 0.1))
    assert not Printed("29").covers(float("nan"))


@pytest.mark.parametrize(
    ("psnr", "ssim", "says"),
    [
        ("29,00", None, "claimed '29,00', expected a number such as 29.00"),
        ("-3", None, "claimed '-3', expected a number"),
        ("inf", None, "claimed 'inf', expected a number"),
        ("0.8565", "29.00", "claimed PSNR 0.8565, expected decibels between 1 and 100"),
        ("29.00", "85.65", "claimed SSIM 85.65, expected at most 1"),
    ],
)
def test_claims_that_are_none(psnr, ssim, says):
    with pytest.raises(InputError, match=says):
        Claim.parse(psnr, ssim)


def test_several_sets_that_give_a_claim(sr_bench):
    bench, space = sr_bench
    levels, _ = search(bench, space, Claim.parse("30.1"))
    assert levels[-1].departures == 0
    single = tuple(Scored(c, bench.score(c), name, axes) for name, axes, c in single_plants(space))
    protocols = {name: Scored(c, bench.score(c), name) for name, c in space.protocols.items()}
    both = Level(0, 2, tuple(protocols.values()), 0.6)
    found = Diagnosis(
        "SR", "parts", 2, protocols, single[2:], bench.shift, Claim.parse("30.1"), (both,)
    )
    lines = found.message().splitlines()
    assert "not identifiable: these 2 sets of conventions all give it" in lines[0]
    assert lines[1:3] == ["- paper protocol", "- y protocol"]
    assert "0.6 matches expected by chance: chance may explain the match" in found.message()
    assert "shifted against HR, by 0.50 px down and 0.00 px right" in found.message()
    assert found.frame()["convention"].iloc[0] == ""
    assert len(found.frame()) == len(single)


def test_sets_that_a_claim_cannot_exclude(sr_bench):
    """8-bit SR images have the same scores without rounding and clamping."""
    bench, space = sr_bench
    claim = Claim.parse(f"{bench.psnr(space.protocols['y']):.2f}")
    found = diagnose(bench.model, bench.data, claim)
    assert [str(match) for match in found.matches] == ["y protocol"]
    assert "cannot exclude 2 sets with 1 departure" in found.message()
    assert "SSIM with" not in found.message()


def test_a_network_that_is_read_wrongly(folder):
    network = load_model("fsrcnn-fpl-x4").network
    wrong = SRModel(network, 4, predicts="image", name="mine")
    found = diagnose(wrong, open_data(folder, 4))
    assert re.search(
        r"another setting: output is the residual gains \d\d\.\d\d dB", found.message()
    )
    assert found.levels == ()
    assert found.settings()["claimed"] is None


def test_a_shift_that_is_none(folder, monkeypatch):
    """Registration may err; what lowers PSNR is no shift to undo."""
    monkeypatch.setattr(Restorations, "find_shift", lambda *_: Shift(0.5, 0.0))
    found = diagnose(bicubic(4), open_data(folder, 4))
    assert found.shift == ALIGNED
    assert "No shift of SR against HR" in found.message()
    assert "registered" not in set(found.frame()["convention"])


def test_a_claim_that_nothing_gives(sr_bench):
    bench, _ = sr_bench
    found = diagnose(bench.model, bench.data, Claim.parse("41.23"), most_departures=1)
    assert found.matches == ()
    assert "41.23 dB is not reproduced. None of 21 sets of conventions" in found.message()
    assert f"{found.nearest[0].score.psnr_db:.3f} dB" in found.message()
    assert len(found.nearest) == 5
    tried = [level.tried for level in found.levels]
    # Two protocols; three other kinds of luma, which lead to the same PSNR from either; from each:
    # two borders, crop, order, alignment, two kinds of rounding, mean.
    assert tried == [2, 3 + 2 * (2 + 1 + 1 + 1 + 2 + 1)]


def test_the_sets_without_departures_are_what_evaluate_measures(network_bench, model):
    restorations, space = network_bench
    for protocol in (PAPER, Y_CHANNEL):
        expected = summarize(evaluate([model], [restorations.data], protocol)).iloc[0]
        score = restorations.score(space.protocols[protocol.name])
        # evaluate computes SSIM in whole numbers, to 5e-9
        assert score == pytest.approx((expected["psnr_db"], expected["ssim"]), rel=2e-8)


def test_images_are_restored_once_for_each_input(model, folder):
    data = open_data(folder, 4)[:1]
    calls = []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    diagnose(model, data, Claim.parse("41.23"), most_departures=1)
    # The protocols' input; another crop, 5 rules for LR, output, white, order, tiles. Train mode
    # is run on a copy of the network, whose hook is copied, too.
    assert len(calls) == 1 + 1 + 5 + 4 + 1


def test_stored_lr_is_a_convention_of_its_own(model, folder, tmp_path):
    for path in folder.glob("*.png"):
        hr = np.array(Image.open(path), dtype=np.float64)
        (tmp_path / "HR").mkdir(exist_ok=True)
        Image.open(path).save(tmp_path / "HR" / path.name)
        lr = torch.from_numpy(lr_of(hr, "matlab-twice") / 255).permute(2, 0, 1)
        write_image(tmp_path / "LR_bicubic" / "X4" / f"{path.stem}x4.png", lr)
    data = open_data(tmp_path, 4)
    space = find_space(model, data)
    paper = space.protocols["paper"]
    assert (paper.lr, paper.mod_crop) == ("stored", 4)
    made = {c.lr: c.mod_crop for axes, c in space.departures("paper", 1) if axes == ("lr",)}
    assert made["matlab"] == 12
    restorations = Restorations(model, data)
    twice = [
        c for _, c in space.departures("paper", 2) if (c.lr, c.mod_crop) == ("matlab-twice", 4)
    ]
    assert restorations.score(twice[0]) == pytest.approx(restorations.score(paper))
    cropped = next(c for axes, c in space.departures("paper", 1) if axes == ("mod_crop",))
    assert cropped.mod_crop == 12
    assert restorations.images(cropped.input(), 0)[1].shape[-2:] == (132, 156)
