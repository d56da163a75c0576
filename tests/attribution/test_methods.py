"""LAM beside captum's methods on one window."""

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency

from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.methods import compare_methods
from srlongtail.attribution.target import GradientDetector, Intensity
from srlongtail.image.resample import upsample_bicubic

WINDOW = (30, 40, 16)
METHODS = [
    "LAM",
    "saliency",
    "input x gradient",
    "integrated gradients",
    "gradient SHAP",
    "SmoothGrad",
    "occlusion",
]


@pytest.fixture
def comparison(network, lr):
    return compare_methods(network, lr, WINDOW, n_steps=20, samples=2)


def test_one_row_a_method_and_the_maps_of_all(comparison, network, lr):
    table = comparison.frame().set_index("method")
    assert list(table.index) == [*METHODS, "distance to window", "random"]
    assert list(comparison.attributions) == METHODS
    assert all(found.shape == lr.shape for found in comparison.attributions.values())
    lam = local_attribution(network, lr, WINDOW, n_steps=20)
    assert torch.allclose(comparison.attributions["LAM"], lam.attributions, atol=1e-5)
    assert table.loc["LAM", "n_eff"] == pytest.approx(lam.n_eff, rel=1e-4)
    assert table.loc["LAM", "completeness_error"] == pytest.approx(lam.completeness_error, rel=0.01)
    complete = table["completeness_error"].dropna().index.tolist()
    assert complete == ["LAM", "integrated gradients", "gradient SHAP"]
    assert table.loc["integrated gradients", "completeness_error"] < 0.01
    assert table.loc[METHODS, ["n_eff", "infidelity", "sensitivity"]].notna().all(axis=None)
    assert table[["deletion", "insertion"]].notna().all(axis=None)
    assert (table["deletion"][METHODS] < table["deletion"]["random"]).all()


def test_captums_methods_are_those_of_the_whole_image(comparison, network, lr):
    def score(images):
        return GradientDetector(WINDOW)(network(images))

    slopes = Saliency(score).attribute(lr[None].requires_grad_(), abs=False)[0]
    assert torch.allclose(comparison.attributions["saliency"], slopes, atol=1e-5)
    expected = IntegratedGradients(score).attribute(lr[None].detach(), n_steps=20)[0]
    assert torch.allclose(comparison.attributions["integrated gradients"], expected, atol=1e-5)


def test_on_a_linear_network_the_complete_methods_agree_with_the_truth():
    lr = torch.rand(3, 20, 20, generator=torch.Generator().manual_seed(0))
    comparison = compare_methods(
        lambda x: upsample_bicubic(x, 4), lr, (30, 30, 8), target=Intensity, n_steps=5, samples=2
    )
    table = comparison.frame().set_index("method")
    for name in ("LAM", "integrated gradients", "input x gradient", "saliency"):
        assert table.loc[name, "infidelity"] < 1e-4, name
    assert table.loc["integrated gradients", "completeness_error"] < 1e-4
    assert table.loc["LAM", "completeness_error"] < 1e-4
    assert table.loc["saliency", "sensitivity"] < 1e-5


def test_curves_are_tidy_and_the_same_seed_repeats_them(comparison, network, lr):
    curves = comparison.curves
    assert list(curves.columns) == ["method", "kind", "share", "value"]
    ends = curves.groupby(["kind", "method"])["value"].agg(["first", "last"])
    assert np.allclose(ends.loc["deletion"], [1, 0], atol=1e-5)
    assert np.allclose(ends.loc["insertion"], [0, 1], atol=1e-5)
    again = compare_methods(network, lr, WINDOW, n_steps=20, samples=2)
    assert again.curves.equals(curves)
    assert again.table.equals(comparison.table)
