"""The verdict names the fault that was planted, and only that one."""

import re
from dataclasses import replace

import numpy as np
import pytest

from srlongtail.diagnosis.report.verdict import judge, symptoms
from srlongtail.longtail.systematic import SystematicTable
from srlongtail.stats import mean_interval
from tests.diagnosis.report.conftest import PLANTED


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("healthy", []),
        ("blurred", ["blur"]),
        ("noisy", ["noise"]),
        ("biased", ["color"]),
        ("faded", ["contrast"]),
        ("shifted", ["shift"]),
        ("perfect", []),
    ],
)
def test_planted_faults_are_named(surveyed, name, kinds):
    verdict = judge(surveyed, name)
    assert [symptom.kind for symptom in verdict.symptoms] == kinds
    assert len(verdict.sentences) == 3
    assert all(sentence.endswith(".") for sentence in verdict.sentences)


def test_the_first_sentence_has_the_number_and_its_interval(surveyed, numbers_in):
    first = judge(surveyed, "healthy").sentences[0]
    rows = surveyed.scores.pivot(index="image", columns="model", values="paper_psnr_db")
    own, gain = mean_interval(rows["healthy"]), mean_interval(rows["healthy"] - rows["bicubic"])
    y = surveyed.scores.set_index("model").loc["healthy", "y_psnr_db"].mean()
    assert numbers_in(first)[:7] == pytest.approx([*own[:3], y, *gain[:3]], abs=0.006)
    assert "better on 4 of 4 images (sign test p = 0.12)" in first


def test_the_second_sentence_says_where(surveyed):
    text = judge(surveyed, "healthy").sentences[1]
    shares = surveyed.tenths.shares
    share = shares[(shares["model"] == "healthy") & (shares["tenth"] == 10)].iloc[0]
    assert text.startswith(f"{share['estimate']:.0f}% ({max(share['low'], 0):.0f}% to 100%) ")
    assert "better than bicubic in all ten tenths" in text
    assert "worse than bicubic in tenth" in judge(surveyed, "noisy").sentences[1]


def test_the_third_sentence_has_the_size_of_the_fault(surveyed, numbers_in):
    biased = numbers_in(judge(surveyed, "biased").sentences[2])
    assert biased[[0, 3, 6]] == pytest.approx([4, 0, -3], abs=0.3)
    faded = numbers_in(judge(surveyed, "faded").sentences[2])
    assert faded[[0, 3, 6]] == pytest.approx([0.9] * 3, abs=0.005)
    shifted = numbers_in(judge(surveyed, "shifted").sentences[2])
    assert shifted[[0, 3]] == pytest.approx([0.5, 0], abs=0.03)
    blurred = numbers_in(judge(surveyed, "blurred").sentences[2])
    assert blurred[0] == pytest.approx(1.5, abs=0.25)
    noise = numbers_in(judge(surveyed, "noisy").sentences[2])
    luma = 6 * np.sqrt(((np.array([65.481, 128.553, 24.966]) / 255) ** 2).sum())
    assert luma - 1 < noise[0] < luma  # HR has noise, too, and what is clipped has less
    assert "No systematic error was found" in judge(surveyed, "healthy").sentences[2]


def test_headlines(surveyed):
    headlines = {name: judge(surveyed, name).headline for name in PLANTED}
    assert headlines["healthy"].endswith("dB above bicubic, without systematic error")
    assert headlines["faded"].endswith("low in contrast")
    assert headlines["noisy"].endswith("dB above bicubic, but noisy")
    assert re.search(r"dB above bicubic, but shifted by 0\.5\d pixels$", headlines["shifted"])
    assert headlines["blurred"] == (
        "blurred is 0.12 dB above bicubic on 4 images, too few for a verdict, and is blurred"
    )
    assert headlines["perfect"] == "perfect restores all images without any error"
    assert "did not get the HR images" in judge(surveyed, "perfect").sentences[2]


def test_what_is_too_far_from_hr_is_not_explained(surveyed):
    scores = surveyed.scores.copy()
    scores.loc[scores["model"] == "noisy", "paper_psnr_db"] -= 20
    verdict = judge(replace(surveyed, scores=scores), "noisy")
    assert verdict.symptoms == ()
    assert verdict.headline.endswith("dB below bicubic, far from HR")
    assert "too far from HR" in verdict.sentences[2]


def test_an_interval_around_zero_is_no_symptom_and_one_image_has_none(surveyed):
    rows = surveyed.systematic.rows
    mixed = rows[rows["model"] == "biased"].copy()
    mixed["offset_red"] = [9.0, -4.0, 5.0, -3.0]
    mixed["offset_blue"] = 0.0
    assert symptoms(SystematicTable(mixed), "biased") == ()
    said = judge(replace(surveyed, systematic=SystematicTable(mixed)), "biased").sentences[2]
    assert said.startswith("These 4 images do not tell whether the error is systematic")
    (found,) = symptoms(SystematicTable(rows[rows["model"] == "biased"].head(1)), "biased")
    assert found.kind == "color"
    assert "to" not in found.text.split("levels")[0].replace("total", "")
