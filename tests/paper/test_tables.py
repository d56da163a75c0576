"""The tables against the paper's numbers, plain evaluation, and scipy's intervals."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch

from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate, evaluate_together
from srlongtail.image.dataset import open_data
from srlongtail.image.degrade import BlurNoise
from srlongtail.image.io import write_image
from srlongtail.image.resample import imresize_uint8
from srlongtail.metrics import PAPER, Y_CHANNEL
from srlongtail.models.card import ModelCard
from srlongtail.models.catalog import new_model
from srlongtail.models.checkpoint import load_model
from srlongtail.models.facts import Provenance, Training
from srlongtail.models.sr_model import SRModel, ZeroResidual, bicubic
from srlongtail.paper import tables
from srlongtail.paper.build import build_tables
from srlongtail.paper.layout import latex, layout, markdown
from srlongtail.paper.tables import TABLES, build_table, paper_name
from srlongtail.studies.saved import Saved

DATA = {"names_sha256": "a", "images": 3}
PARTS = ("skip", "static", "learnable")


class Sharpener(torch.nn.Module):
    """A residual that differs from image to image."""

    def __init__(self, strength, scale=4):
        super().__init__()
        self.register_buffer("strength", torch.tensor(strength))
        self.scale = scale

    def forward(self, lr):
        blurred = torch.nn.functional.avg_pool2d(lr, 3, 1, 1, count_include_pad=False)
        residual = self.strength * (lr - blurred)
        return torch.nn.functional.interpolate(residual, scale_factor=self.scale, mode="bicubic")


def trained(name, arm="baseline", strength=0.0, *, architecture="fsrcnn", scale=4, **more):
    on = {"baseline": (), "skip": PARTS[:1], "FPL": PARTS}[arm]
    recipe = {part: part in on for part in PARTS} | {"degradation": "bicubic"} | more
    provenance = Provenance(architecture=architecture, training=Training(8000, recipe, DATA))
    network = Sharpener(strength, scale)
    return SRModel(network, scale, predicts="residual", name=name, provenance=provenance)


def train_for(model, iterations):
    training = replace(model.provenance.training, iterations=iterations)
    model.provenance = replace(model.provenance, training=training)


@pytest.fixture
def pair():
    return [trained("fsrcnn-x4", "baseline", 0.1), trained("fsrcnn-fpl-x4", "FPL", 0.5)]


@pytest.fixture
def saved(tmp_path):
    return Saved(tmp_path / "out")


def test_every_number_of_the_paper_is_there():
    published = pd.concat([spec.published() for spec in TABLES.values()])
    assert len(published) == 172
    assert published["psnr_db"].between(20, 36).all()
    assert published["ssim"].between(0.5, 1).all()
    table = TABLES["table2"].published().set_index(["model", "arm", "dataset"])
    # Table 2, the paper's own line of gains for FSRCNN on Urban100.
    gain = table.loc["FSRCNN", "FPL", "Urban100"] - table.loc["FSRCNN", "baseline", "Urban100"]
    assert gain.round(4).tolist() == [0.58, 0.0089]


def test_the_reference_is_the_papers(shared):
    theirs = pd.read_csv(shared / "paper" / "tables.csv")
    pd.testing.assert_frame_equal(tables._reference(), theirs)


def test_the_authors_network_reproduces_table_1(saved, shared):
    card = ModelCard(shared / "checkpoints" / "4x_FSRCNN_FPL.pth", arm="FPL")
    model = load_model(card)
    sets = [open_data(shared / "data" / "test" / name / "HR") for name in ("Set5", "Set14")]
    texts = layout(build_table(TABLES["table1"], [model], sets, saved))
    rows = texts.set_index(("", "numbers")).iloc[4:, 1:].to_numpy().tolist()
    assert rows == [
        ["29.00", "0.8565", "26.01", "0.7446"],
        ["29.00", "0.8565", "26.01", "0.7446"],
        ["0.00", "0.0000", "0.00", "0.0000"],
    ]


def test_a_file_that_says_nothing_of_its_training_is_placed_by_what_it_predicts(data, saved):
    known = Provenance(architecture="fsrcnn")
    network = Sharpener(0.2)
    foreign = SRModel(network, 4, predicts="residual", name="4x_FSRCNN_FPL", provenance=known)
    table = build_table(TABLES["table1"], [foreign], [data], saved)
    assert table.rows[1].arm == "skip"
    assert any(
        note.startswith("4x_FSRCNN_FPL predicts a residual, which tells of the skip;")
        for note in table.notes
    )
    said = SRModel(
        network, 4, predicts="residual", name="theirs", provenance=replace(known, arm="FPL")
    )
    table = build_table(TABLES["table1"], [said], [data], saved)
    assert table.rows[1][:3] == ("FSRCNN", "FPL", "theirs")
    assert not any("predicts a residual" in note for note in table.notes)


def test_scores_and_gains_are_those_of_evaluate(pair, data, saved):
    table = build_table(TABLES["table1"], pair, [data], saved)
    frame = table.frame().set_index("model")
    scores = evaluate([bicubic(4), *pair], [data])
    means = scores.groupby("model")[["psnr_db", "ssim"]].mean()
    for name, row in means.iterrows():
        assert frame.loc[name, ["psnr_db", "ssim"]].tolist() == pytest.approx(row.tolist())
    by_image = scores.pivot(index="image", columns="model", values="psnr_db")
    gains = (by_image["fsrcnn-fpl-x4"] - by_image["fsrcnn-x4"]).to_numpy()
    interval = scipy.stats.ttest_1samp(gains, 0).confidence_interval()
    gain = frame.loc["fsrcnn-fpl-x4 - fsrcnn-x4"]
    assert gain["arm"] == "gain of FPL over baseline"
    found = gain[["psnr_db", "psnr_db_low", "psnr_db_high", "images"]].tolist()
    assert found == pytest.approx([gains.mean(), interval.low, interval.high, 3])


def test_published_numbers_stand_beside_data_sets_of_their_name(pair, tmp_path, data, saved):
    renamed = open_data(f"set5={tmp_path / 'Set3'}")
    frame = build_table(TABLES["table1"], pair, [renamed], saved).frame()
    assert set(frame["dataset"]) == {"Set5"}
    row = frame.set_index("arm").loc["FPL"]
    assert (row["psnr_db_published"], row["ssim_published"]) == (29.00, 0.8565)
    assert row["psnr_db_difference"] == pytest.approx(row["psnr_db"] - 29)
    gain = frame.set_index("arm").loc["gain of FPL over baseline"]
    assert gain["psnr_db_published"] == pytest.approx(0.29)
    unknown = build_table(TABLES["table1"], pair, [data], saved).frame()
    assert unknown["psnr_db_published"].isna().all()


def test_absent_cells_are_empty_and_listed(pair, tmp_path, data, saved):
    renamed = open_data(f"B100={tmp_path / 'Set3'}")
    table = build_table(TABLES["table1"], pair[1:], [renamed], saved)
    frame = table.frame().set_index(["network", "arm"])
    assert np.isnan(frame.loc[("FSRCNN", "baseline"), "psnr_db"])
    assert frame.loc[("FSRCNN", "baseline"), "psnr_db_published"] == 25.58
    assert table.absent() == [
        "everything of FSRCNN, CARN, CARN+FPL, SRResNet, SRResNet+FPL, MSRN, MSRN+FPL, SwinIR, "
        "SwinIR+FPL",
        "Set5, Set14, Manga109, Urban100, Test2K of FSRCNN+FPL",
    ]
    assert any("No gain is given for fsrcnn-fpl-x4" in note for note in table.notes)


def test_only_equal_training_is_compared(pair):
    longer = trained("fsrcnn-long", "baseline")
    train_for(longer, 9000)
    said = Provenance(architecture="fsrcnn", arm="FPL")
    foreign = SRModel(ZeroResidual(4), 4, name="4x_FSRCNN_FPL", provenance=said)
    skip = trained("fsrcnn-skip-x4", "skip")
    other = trained("carn-x4", architecture="carn")
    rows = [tables._row(model) for model in (*pair, longer, foreign, skip, other)]
    pairs = [(better.model, base.model) for better, base in tables.gain_pairs(rows)]
    assert pairs == [("fsrcnn-fpl-x4", "fsrcnn-x4"), ("fsrcnn-fpl-x4", "fsrcnn-skip-x4")]


def test_models_go_to_the_tables_they_belong_to():
    def belongs(model):
        return [name for name, spec in TABLES.items() if spec.takes(model)]

    assert belongs(trained("a")) == ["table1"]
    assert belongs(trained("a", scale=2)) == ["table2"]
    assert belongs(trained("a", degradation="blur-noise")) == ["table3"]
    assert belongs(trained("a", architecture="bsrn")) == ["table4"]
    assert belongs(trained("a", scale=3)) == []
    said = Provenance(degradation="blur-noise")
    assert belongs(SRModel(ZeroResidual(4), 4, provenance=said)) == ["table3"]
    assert belongs(SRModel(ZeroResidual(4), 4, name="carn-x4-degraded")) == ["table1"]
    assert belongs(new_model("swinir", 4)) == ["table1"]


def test_each_table_has_its_protocol_and_its_degradation(data, saved, tmp_path):
    bsrn = trained("b", architecture="bsrn", strength=0.3)
    found = build_table(TABLES["table4"], [bsrn], [data], saved).scores
    expected = evaluate([bsrn], [data], Y_CHANNEL)
    assert found.query("model == 'b'")["ssim"].tolist() == expected["ssim"].tolist()
    spec = TABLES["table3"]
    assert spec.degradation == BlurNoise(4)
    assert TABLES["table2"].degradation is None
    assert {TABLES[f"table{n}"].protocol for n in (1, 2, 3)} == {PAPER}
    degraded = trained("d", degradation="blur-noise")
    noisy = open_data(tmp_path / "Set3", degradation=spec.degradation)
    assert "LR by Eq. 8" in build_table(spec, [degraded], [noisy], saved).notes[1]


def test_readers_of_every_form_see_how_long_was_trained(pair, tmp_path, data, saved):
    foreign = SRModel(
        ZeroResidual(4), 4, name="my_carn", provenance=Provenance(architecture="carn")
    )
    renamed = open_data(f"Set5={tmp_path / 'Set3'}")
    told = [
        "Trained: fsrcnn-x4 8,000 iterations on 3 images; fsrcnn-fpl-x4 8,000 iterations on 3 "
        "images.",
        "How long my_carn was trained is not known.",
        "The paper's training: FSRCNN 500,000 iterations; CARN 1,000,000 iterations, all on the "
        "800 images of DIV2K.",
        "After fewer iterations than the paper's, gains over a baseline (fsrcnn-fpl-x4) are "
        "inflated: it has no bicubic skip and converges slowly. The skip alone is the fair "
        "comparison for the weights.",
    ]
    out = tmp_path / "out"
    build_tables([*pair, foreign], lambda *_: [renamed], out)
    page, code = ((out / f"table1.{form}").read_text() for form in ("md", "tex"))
    assert all(f"- {note}\n" in page for note in told)
    body, below = code.split("\\end{tabular}")
    assert all(note.replace("_", "\\_") in below for note in told)
    assert "95\\%, over images: Student's t" in below
    assert "Trained" not in body
    # Where no number of the paper is shown, its training is of no account.
    notes = build_table(TABLES["table1"], pair, [data], saved).notes
    assert told[0] in notes
    for model in pair:
        train_for(model, 500_000)
    notes_of_the_schedule = build_table(TABLES["table1"], pair, [data], saved).notes
    assert told[3] in notes
    assert told[3] not in notes_of_the_schedule
    assert not any("The paper's training" in note for note in notes)


def test_where_lr_came_from_is_said_and_by_which_rule_beside_published_numbers(
    pair, tmp_path, data, saved
):
    for number, made in enumerate(data):
        levels = imresize_uint8((made.hr * 255).round().to(torch.uint8), 1 / 4)
        write_image(tmp_path / "lr" / f"{made.name}.png", levels / 255 if number else made.lr)
    folders = f"{tmp_path / 'Set3'},{tmp_path / 'lr'}"
    sets = [open_data(f"{name}={folders}") for name in ("Set5", "mine")]
    notes = build_table(TABLES["table1"], pair, [*sets, data], saved).notes
    assert (
        "LR images of Set5: stored in lr: of 2 images MATLAB's bicubic on 8-bit images, rounded "
        "twice where the paper rounds once." in notes
    )
    assert "LR images of mine: stored in lr." in notes  # no published number stands beside
    assert "LR images of Set3: made from HR by bicubic." in notes


def test_perfect_images_count_in_no_mean_of_psnr_and_are_named(pair, tmp_path, data, saved):
    plain = build_table(TABLES["table1"], pair, [data], saved)
    write_image(tmp_path / "Set3" / "d.png", torch.zeros(3, 96, 96))
    found = build_table(TABLES["table1"], pair, [open_data(tmp_path / "Set3")], saved)
    perfect = found.scores.query("image == 'd'").set_index("model")["psnr_db"]
    assert np.isinf(perfect["bicubic"])
    ours = found.frame().set_index("model")
    before = plain.frame().set_index("model")
    assert ours.loc["bicubic", "psnr_db"] == pytest.approx(before.loc["bicubic", "psnr_db"])
    assert np.isfinite(ours["psnr_db"]).all()
    named = "Restored perfectly by bicubic, and left out of the mean of PSNR on Set3: d."
    assert named in found.notes
    assert not any("perfectly" in note for note in plain.notes)


def test_what_is_restored_in_tiles_is_said(tmp_path, data, saved):
    swin = trained("swinir-x4", architecture="swinir", strength=0.2)
    test2k = open_data(f"test2k={tmp_path / 'Set3'}")
    table = build_table(TABLES["table1"], [swin], [test2k, data], saved)
    (note,) = [note for note in table.notes if "tiles" in note]
    assert note == (
        "Restored in tiles of 32 x 32 LR pixels, one every 28, as in the paper: "
        "bicubic, swinir-x4 on test2k; swinir-x4 on Set3."
    )
    assert table.settings()["tiles"] == {
        "size": 32,
        "step": 28,
        "restored_so": {"test2k": ["bicubic", "swinir-x4"], "Set3": ["swinir-x4"]},
    }
    whole = build_table(TABLES["table1"], [trained("fsrcnn-x4")], [data], saved)
    assert not any("tiles" in note for note in whole.notes)


def ours(name, bias=0.0):
    """A network of the package: scores of other networks are not saved."""
    torch.manual_seed(0)
    model = new_model("fsrcnn", 4, predicts="residual", name=name)
    torch.nn.init.constant_(model.network.tail_conv.bias, bias)
    return model


def test_only_what_changed_is_scored_again(data, saved, monkeypatch):
    scored = []

    def watched(tasks):
        scored.extend(task.models[0].name for task in tasks)
        return evaluate_together(tasks)

    monkeypatch.setattr(tables, "evaluate_together", watched)
    spec, pair = TABLES["table1"], [ours("fsrcnn-x4"), ours("fsrcnn-fpl-x4", 0.01)]
    first = build_table(spec, pair, [data], saved)
    assert scored == ["bicubic", "fsrcnn-x4", "fsrcnn-fpl-x4"]
    again = build_table(spec, pair, [data], saved)
    pd.testing.assert_frame_equal(first.frame(), again.frame())
    build_table(spec, [pair[0], ours("fsrcnn-fpl-x4", 0.02)], [data], saved)
    assert scored[3:] == ["fsrcnn-fpl-x4"]
    mine = trained("mine", "FPL", 0.5)
    for _ in range(2):
        build_table(spec, [mine], [data], saved)
    assert scored[4:] == ["mine", "mine"]  # nothing tells whether the user's code has changed


def test_tables_keep_each_others_scores(data, saved, tmp_path, monkeypatch):
    noisy = open_data(tmp_path / "Set3", degradation=BlurNoise(4))
    sets = {"table1": data, "table3": noisy, "table4": data}
    first = [build_table(TABLES[name], [], [images], saved) for name, images in sets.items()]
    monkeypatch.setattr(tables, "evaluate_together", lambda *_: pytest.fail("scored again"))
    again = [build_table(TABLES[name], [], [images], saved) for name, images in sets.items()]
    for one, two in zip(first, again, strict=True):
        pd.testing.assert_frame_equal(one.frame(), two.frame())


def test_models_and_data_sets_of_one_name_are_refused(pair, data, saved):
    with pytest.raises(InputError, match="two models called fsrcnn-x4, expected different names"):
        build_table(TABLES["table1"], [pair[0], pair[0]], [data], saved)
    with pytest.raises(InputError, match="two data sets called Set3"):
        build_table(TABLES["table1"], pair, [data, data], saved)


def test_the_layout_in_markdown_and_latex(pair, tmp_path, data, saved):
    sets = [open_data(f"Set5={tmp_path / 'Set3'}"), data]
    texts = layout(build_table(TABLES["table1"], pair, sets, saved))
    assert texts[("", "network")].tolist() == [
        "bicubic",
        *("FSRCNN", "", ""),
        *("FSRCNN+FPL", "", ""),
        *("Gain of FSRCNN+FPL over FSRCNN", "", "", ""),
    ]
    assert texts.iloc[-4:][("", "numbers")].tolist() == [
        "ours",
        "95% interval",
        "paper",
        "difference",
    ]
    assert texts.iloc[-2][("Set5", "PSNR (dB)")] == "+0.29"
    assert texts.iloc[-2][("Set3", "PSNR (dB)")] == ""
    lines = markdown(texts).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert {line.count("|") for line in lines} == {7}
    code = latex(texts)
    assert all(rule in code for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    assert "\\multicolumn{2}{c}{Set5}" in code
    assert "95\\% interval" in code
    body = code.split("\\midrule")[1].split("\\bottomrule")[0].strip().splitlines()
    assert {line.count("&") for line in body} == {5}


def test_the_gains_of_each_network_follow_its_scores(pair, data, saved):
    carns = [
        trained(f"carn{name}-x4", arm, strength, architecture="carn")
        for name, arm, strength in (("-fpl", "FPL", 0.4), ("", "baseline", 0.2))
    ]
    table = build_table(TABLES["table1"], [*carns, *pair], [data], saved)
    titles = ["bicubic"]
    for network in ("CARN", "FSRCNN"):
        titles += [network, f"{network}+FPL", f"Gain of {network}+FPL over {network}"]
    assert table.frame()["title"].tolist() == titles
    texts = layout(table)
    assert [title for title in texts[("", "network")] if title] == titles
    for text in (markdown(texts), latex(texts)):
        places = [text.index(title) for title in titles]
        assert places == sorted(places)


def test_two_models_of_one_network_and_arm_are_told_apart(pair, data, saved):
    again = trained("long/fsrcnn-x4", "baseline", 0.2)
    texts = layout(build_table(TABLES["table1"], [*pair, again], [data], saved))
    assert [title for title in texts[("", "network")] if title] == [
        "bicubic",
        "FSRCNN (fsrcnn-x4)",
        "FSRCNN (long/fsrcnn-x4)",
        "FSRCNN+FPL",
        "Gain of FSRCNN+FPL over FSRCNN (fsrcnn-x4)",
        "Gain of FSRCNN+FPL over FSRCNN (long/fsrcnn-x4)",
    ]


@pytest.mark.parametrize(("name", "expected"), [("SET14", "Set14"), ("b100", "BSD100"), ("x", "x")])
def test_names_of_data_sets(name, expected):
    assert paper_name(name) == expected
