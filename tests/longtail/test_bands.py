"""Tenths against NumPy and against numbers computed apart from the package."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.multiprocessing as mp

from srlongtail.errors import InputError
from srlongtail.image.dataset import ImagePair, open_data, photos
from srlongtail.image.resample import upsample_bicubic
from srlongtail.longtail.bands import LUCK_BETWEEN_NETWORKS, LUCK_TRAP, BandError, measure_bands
from srlongtail.longtail.difference import absolute_difference
from srlongtail.longtail.tail import gradient_magnitude
from srlongtail.models.checkpoint import load_model
from srlongtail.models.sr_model import bicubic
from srlongtail.stats import mean_interval


def nearest(lr):
    return lr.repeat_interleave(4, -1).repeat_interleave(4, -2)


MODELS = {"bicubic": bicubic(4), "nearest": nearest}


@pytest.fixture(scope="module")
def pairs() -> list[ImagePair]:
    return [
        ImagePair(pair.name, pair.hr[:, :120, :96], pair.lr[:, :30, :24], "crops")
        for pair in photos(4)
    ]


@pytest.fixture(scope="module", params=["Set5", "Set14"])
def restored(request, shared):
    """The images of a data set, and two models that only look up what they made of them."""
    images = list(open_data(shared / "data/test" / request.param, make_lr=True))
    networks = {
        "bicubic": bicubic(4),
        "FSRCNN_FPL": load_model(shared / "checkpoints/4x_FSRCNN_FPL.pth"),
    }
    models = {}
    for name, network in networks.items():
        sr = {id(pair.lr): network.restore(pair.lr) for pair in images}
        models[name] = lambda lr, sr=sr: sr[id(lr)]
    return images, models


@pytest.mark.parametrize("ranked_by", ["gradient", "bicubic_ad"])
def test_golden_numbers(shared, restored, ranked_by):
    golden = pd.read_csv(shared / "golden/bands.csv").set_index(["bands", "dataset", "model"])
    images, models = restored
    dataset = images[0].dataset
    table = measure_bands(models, images, ranked_by)
    found = table.summary().pivot(index="model", columns="tenth", values="estimate")
    for model in models:
        expected = golden.loc[(ranked_by, dataset, model)].to_numpy(float)
        assert np.abs(found.loc[model].to_numpy() - expected).max() < 0.005
    # The luck trap: by its own AD, bicubic seems better where it was lucky, by the gradient never.
    leads = table.differences("bicubic", "FSRCNN_FPL")["estimate"] > 0
    squared = table.differences("bicubic", "FSRCNN_FPL", "squared_error")["estimate"] > 0
    if ranked_by == "gradient":
        assert (leads.sum(), squared.sum(), table.caution) == (0, 0, "")
    else:
        assert leads.sum() in (4, 5)
        assert squared.sum() in (6, 7)
        assert table.caution == LUCK_TRAP


def test_one_row_a_model_image_and_tenth(pairs):
    rows = measure_bands(MODELS, pairs).frame()
    assert list(rows.columns) == [
        "model", "dataset", "image", "tenth", "pixels", "ad_levels", "squared_error",
    ]  # fmt: skip
    assert len(rows) == 2 * 4 * 10
    pair = pairs[2]
    order = np.argsort(gradient_magnitude(pair.hr).numpy().ravel(), kind="stable")
    for model, restore in {"bicubic": bicubic(4).restore, "nearest": nearest}.items():
        error = absolute_difference(restore(pair.lr), pair.hr).double().numpy().ravel()
        mine = rows[(rows["model"] == model) & (rows["image"] == pair.name)]
        assert mine["tenth"].tolist() == list(range(1, 11))
        for row, part in zip(mine.itertuples(), np.array_split(order, 10), strict=True):
            assert row.pixels == len(part)
            assert row.ad_levels == pytest.approx(error[part].mean(), rel=1e-12)
            assert row.squared_error == pytest.approx((error[part] ** 2).mean(), rel=1e-12)


def test_halves_of_a_data_set_are_the_whole(pairs):
    whole = measure_bands(MODELS, pairs)
    halves = measure_bands(MODELS, pairs[:1]) + measure_bands(MODELS, pairs[1:])
    for measure in ("ad_levels", "squared_error"):
        one, two = (
            table.summary(measure).set_index(["model", "tenth"]) for table in (whole, halves)
        )
        assert np.abs(one["estimate"] - two["estimate"]).max() < 1e-9
        assert np.abs(one["low"] - two["low"]).max() < 1e-9


def test_pooled_tenths_are_those_of_all_pixels(pairs):
    table = measure_bands({"bicubic": bicubic(4)}, pairs, "bicubic_ad", pooled=True)
    rows = table.frame()
    error = [
        absolute_difference(bicubic(4).restore(pair.lr), pair.hr).numpy().ravel() for pair in pairs
    ]
    assert rows["pixels"].sum() == sum(e.size for e in error)
    hardest = rows[rows["tenth"] == 10]
    threshold = np.quantile(np.concatenate(error), 0.9)
    expected = [int((e > threshold).sum()) for e in error]
    assert hardest["pixels"].tolist() == pytest.approx(expected, rel=0.02, abs=5)
    assert hardest["pixels"].max() > 2 * hardest["pixels"].min()
    with pytest.raises(InputError, match="bicubic_ad, pooled and by bicubic_ad, pooled do not add"):
        table + table
    with pytest.raises(InputError, match="ranked_by: values from 1000 to 1000 for astronaut"):
        measure_bands(MODELS, pairs, lambda hr, low: torch.full(hr.shape[1:], 1000.0), pooled=True)


def test_shares_of_the_loss_add_up(pairs):
    shares = measure_bands(MODELS, pairs).loss_shares()
    sums = shares.groupby(["model", "image"])[["l1_share", "l2_share"]].sum()
    assert np.abs(sums - 100).max().max() < 1e-9
    first = shares[(shares["model"] == "bicubic") & (shares["image"] == "chelsea")]
    assert first["l2_share"].iloc[-1] > first["l1_share"].iloc[-1] > 10
    perfect = measure_bands({"a": lambda lr: pairs[0].hr}, pairs[:1]).loss_shares()
    assert perfect[["l1_share", "l2_share"]].isna().all().all()


def test_head_is_the_easy_half_and_tail_the_hardest_tenth(pairs):
    table = measure_bands(MODELS, pairs)
    both = table.head_and_tail().set_index(["model", "image", "band"])
    rows = table.frame().set_index(["model", "image", "tenth"])
    row = rows.sort_index().loc["nearest", "coffee"]
    head = np.average(row["ad_levels"][:5], weights=row["pixels"][:5])
    assert both.loc[("nearest", "coffee", "head"), "ad_levels"] == pytest.approx(head)
    tail = both.loc[("nearest", "coffee", "tail")]
    assert tail["squared_error"] == pytest.approx(row["squared_error"].iloc[-1])
    assert tail["pixels"] == row["pixels"].iloc[-1]


def test_differences_are_paired_by_image(pairs):
    table = measure_bands(MODELS, pairs)
    rows = table.frame().pivot(index="image", columns=["model", "tenth"], values="ad_levels")
    found = table.differences("bicubic", "nearest")
    assert found["images"].tolist() == [4] * 10
    for row in found.itertuples():
        gaps = rows["nearest"][row.tenth] - rows["bicubic"][row.tenth]
        expected = mean_interval(gaps.to_numpy())
        assert (row.estimate, row.low, row.high) == pytest.approx(expected[:3])
    same = table.differences("bicubic", "bicubic")
    assert (same[["estimate", "low", "high"]] == 0).all().all()
    with pytest.raises(InputError, match="fsrcnn: no such model, expected one of bicubic, nearest"):
        table.differences("bicubic", "fsrcnn")


def test_a_model_spoiled_in_one_tenth_is_found(pairs):
    lookup = {pair.lr.data_ptr(): pair.hr for pair in pairs}

    def spoiled(lr):
        sr, hr = bicubic(4).restore(lr), lookup[lr.data_ptr()]
        gradient = gradient_magnitude(hr).flatten()
        part = gradient.argsort(stable=True).tensor_split(10)[6]
        sr.reshape(3, -1)[:, part] += 0.1
        return sr

    found = measure_bands(MODELS | {"spoiled": spoiled}, pairs).differences("bicubic", "spoiled")
    assert found.loc[found["low"] > 0, "tenth"].tolist() == [7]


def test_a_training_loop_of_ones_own(pairs):
    bands = BandError(ranked_by="bicubic_ad", model="net", dataset="crops")
    hr = torch.stack([pair.hr for pair in pairs])
    lr = torch.stack([pair.lr for pair in pairs])
    low = upsample_bicubic(lr, 4)
    bands.update(nearest(lr[:3]).requires_grad_(), hr[:3], low[:3])
    bands.update(nearest(lr[3:]), hr[3:], low[3:])
    expected = measure_bands({"net": nearest}, pairs, "bicubic_ad").frame()
    numbers = ["tenth", "pixels", "ad_levels", "squared_error"]
    found = bands.compute()
    pd.testing.assert_frame_equal(found.frame()[numbers], expected[numbers])
    assert found.frame()["image"].unique().tolist() == ["1", "2", "3", "4"]
    bands.reset()
    with pytest.raises(InputError, match="no images, expected an update before compute"):
        bands.compute()
    with pytest.raises(InputError, match=r"expected \(N, 3, H, W\) for each"):
        bands.update(lr, hr, low)


def test_the_caution_is_given_where_bicubic_is_compared_by_its_own_error(pairs):
    few = pairs[:1]
    assert measure_bands(MODELS, few, "bicubic_ad").caution == LUCK_TRAP
    assert measure_bands(MODELS, few, "gradient").caution == ""
    assert measure_bands({"bicubic": bicubic(4)}, few, "bicubic_ad").caution == ""
    two = {"nearest": nearest, "b": nearest}
    assert measure_bands(two, few, "bicubic_ad").caution == LUCK_BETWEEN_NETWORKS
    assert measure_bands(two, few, "gradient").caution == ""


def test_mistakes(pairs):
    with pytest.raises(InputError, match="crops: two of coffee for bicubic, expected one"):
        measure_bands(MODELS, [pairs[2], pairs[2]])
    table = measure_bands(MODELS, pairs[:1])
    with pytest.raises(InputError, match="crops: two of astronaut for bicubic"):
        table + table
    with pytest.raises(InputError, match="tenths by gradient and by bicubic_ad do not add up"):
        table + measure_bands(MODELS, pairs[1:2], "bicubic_ad")
    with pytest.raises(InputError, match=r"small: astronaut restored to \(3, 30, 24\), expected"):
        measure_bands({"small": lambda lr: lr}, pairs[:1])


def _one_of_two(rank, folder, pairs):
    init = f"file://{folder / 'rendezvous'}"
    torch.distributed.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    measure_bands(MODELS, pairs).frame().to_csv(folder / f"{rank}.csv")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_table_of_one(pairs, tmp_path):
    mp.start_processes(_one_of_two, (tmp_path, pairs[:3]), nprocs=2, start_method="fork")
    alone = measure_bands(MODELS, pairs[:3]).frame().to_csv()
    assert (tmp_path / "0.csv").read_text() == (tmp_path / "1.csv").read_text() == alone
