"""The survey's numbers are those of the commands that measure one thing each."""

import json
import subprocess
import sys
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from srlongtail.diagnosis.report import survey
from srlongtail.diagnosis.report.verdict import judge
from srlongtail.errors import InputError
from srlongtail.evaluation import evaluate
from srlongtail.image.dataset import open_data, photos
from srlongtail.metrics import Y_CHANNEL
from srlongtail.models.sr_images import SRImages
from srlongtail.models.sr_model import bicubic, matlab_bicubic
from srlongtail.studies import comparison, spectrum, tail, tenths
from tests.diagnosis.report.conftest import PLANTED


@pytest.fixture(scope="module")
def whole(planted):
    models = planted.models("healthy", "noisy")
    return survey.compute(models, [planted.images])


def test_scores_are_those_of_evaluate(planted, whole):
    models = [bicubic(4), *planted.models("healthy", "noisy")]
    paper = evaluate(models, [planted.images])
    y = evaluate(models, [planted.images], Y_CHANNEL)
    own = whole.scores.sort_values(["model", "image"], ignore_index=True)
    for column, table, theirs in (
        ("paper_psnr_db", paper, "psnr_db"),
        ("paper_ssim", paper, "ssim"),
        ("y_psnr_db", y, "psnr_db"),
        ("y_ssim", y, "ssim"),
    ):
        theirs = table.sort_values(["model", "image"], ignore_index=True)[theirs]
        np.testing.assert_allclose(own[column], theirs, atol=1e-6)


def test_studies_are_those_of_their_commands(planted, whole):
    data = planted.images
    models = [bicubic(4), *planted.models("healthy", "noisy")]
    for own, theirs in (
        (whole.tails[0], tail.compute(models, data)),
        (whole.tenths, tenths.compute(models, data)),
        (whole.comparisons[0], comparison.compute(models[1:2], models[2:], [data])),
    ):
        pd.testing.assert_frame_equal(own.frame(), theirs.frame())
        assert own.caption() == theirs.caption()
    own = whole.spectra[0].frame().sort_values(["model", "image", "frequency_from"])
    theirs = spectrum.compute(models, data).frame()
    theirs = theirs.sort_values(["model", "image", "frequency_from"])
    pd.testing.assert_frame_equal(own.reset_index(drop=True), theirs.reset_index(drop=True))


def test_one_network_is_compared_with_bicubic_and_several_with_each_other(planted):
    three = [bicubic(4), *planted.models("healthy", "noisy", "blurred")]
    names = [(a.name, b.name) for a, b in survey.pairs_of(three)]
    assert names == [("healthy", "noisy"), ("healthy", "blurred"), ("noisy", "blurred")]
    assert [(a.name, b.name) for a, b in survey.pairs_of(three[:2])] == [("bicubic", "healthy")]


def test_perfect_images_are_left_out_of_comparisons(surveyed):
    assert [place[0] for place in surveyed.perfect] == ["perfect"] * 4
    compared = {study.comparison.b[0] for study in surveyed.comparisons}
    assert "perfect" not in compared
    assert len(surveyed.comparisons) == comb(len(PLANTED) - 1, 2)
    assert surveyed.gains("perfect").empty


def test_why_is_asked_of_networks_in_the_hardest_image(planted):
    found = survey.compute([matlab_bicubic(4)], [planted.images[1:3]])
    scores = found.scores[found.scores["model"] == "bicubic-matlab"]
    hardest = scores.loc[scores["paper_psnr_db"].idxmin(), "image"]
    assert list(found.why.windows) == ["hardest", "easiest"]
    for window in found.why.windows.values():
        assert window.image == hardest
        assert window.maps["bicubic-matlab"].n_eff > 1
    assert "smallest mean of bicubic's AD" in found.why.windows["easiest"].caption()
    assert found.why.weights[0].pair.name == hardest


def test_folders_of_sr_images_have_weights_but_no_attribution(whole):
    assert len(whole.why.weights) == 2
    assert whole.why.windows == {}


def test_a_quick_look_takes_few_images_evenly(planted, monkeypatch):
    monkeypatch.setattr(survey, "QUICK_IMAGES", 2)
    found = survey.compute(planted.models("healthy"), [planted.images], quick=True)
    assert found.scores["image"].unique().tolist() == ["astronaut", "rocket"]
    assert found.left_out == {"Crops": 2}
    assert found.why is None
    assert found.spectra == []
    monkeypatch.setattr(survey, "QUICK_PIXELS", 1.5 * 192**2)
    (some,) = survey._some_of([planted.images])
    assert some.names == ("astronaut",)


def test_bicubic_alone_is_refused():
    with pytest.raises(InputError, match="expected at least one network"):
        survey.compute([bicubic(4)], [photos(4)])


SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.diagnosis.report.test_survey import said_of
from srlongtail.parallel import is_writer, process_group

with process_group():
    said = said_of(Path(sys.argv[2]))
    if is_writer():
        Path(sys.argv[3]).write_text(json.dumps(said))
"""


def said_of(root):
    models = [SRImages(root / name, 4) for name in ("healthy", "noisy")]
    found = survey.compute(models, [open_data(str(root / "Crops"), 4)[:3]])
    said = {
        "verdicts": [judge(found, model.name).sentences for model in models],
        "scores": found.scores.round(6).values.tolist(),
        "windows": [window.frame().round(6).values.tolist() for window in found.windows],
        "gains": found.comparisons[0].comparison.gains.round(6).tolist(),
        "images": [(pictures.name, pictures.bytes) for pictures in found.album.chosen()],
        "why": found.why.weights[0].pair.name,
    }
    return json.loads(json.dumps(said))


@pytest.mark.slow
def test_two_processes_find_what_one_finds(planted, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    out = tmp_path / "said.json"
    repository = Path(__file__).parents[3]
    script = [tmp_path / "script.py", repository, planted.root, out]
    subprocess.run([sys.executable, *launch, *script], check=True, capture_output=True)
    assert json.loads(out.read_text()) == said_of(planted.root)
