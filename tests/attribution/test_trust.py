"""An unreliable map says so: networks that deceive the gradient, one fault each."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from srlongtail.attribution.lam import local_attribution
from srlongtail.attribution.methods import compare_methods
from srlongtail.attribution.trust import AttributionWarning, difference_of_runs, is_quantized
from srlongtail.attribution.windows import attribute_grid
from srlongtail.errors import InputError
from srlongtail.image.resample import upsample_bicubic

WINDOW = (16, 16, 16)


@pytest.fixture(scope="module")
def lr() -> torch.Tensor:
    return torch.rand(3, 16, 18, generator=torch.Generator().manual_seed(0))


class Sound(nn.Module):
    """A convolution and bicubic."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        return upsample_bicubic(x + 0.1 * self.conv(x), 4)


class WithoutGradient(Sound):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


class Detached(Sound):
    """Its output has a gradient with respect to its weights alone."""

    def forward(self, x):
        return super().forward(x.detach())


class Dropping(Sound):
    """Dropout that eval() does not switch off."""

    def forward(self, x):
        return F.dropout(super().forward(x), 0.02, training=True)


class Rounding(Sound):
    def forward(self, x):
        return (super().forward(x) * 255).round() / 255


class StraightThrough(Sound):
    """Rounds, and makes a gradient up."""

    def forward(self, x):
        sr = super().forward(x)
        return sr + ((sr * 255).round() / 255 - sr).detach()


class HalfTheGradient(Sound):
    def forward(self, x):
        sr = super().forward(x)
        return 0.5 * sr + 0.5 * sr.detach()


class InPlace(Sound):
    """Overwrites its input, and what the gradients of sigmoid and convolution need."""

    def forward(self, x):
        x *= 2
        gate = self.conv(x).sigmoid()
        y = gate * x
        gate.mul_(0.5)
        y += gate
        x -= 0.5
        return upsample_bicubic(y, 4)


class InPlaceAgainAndAgain(Sound):
    """Frees what it has overwritten, so that the next round uses the same memory again."""

    def forward(self, x):
        for _ in range(6):
            gate = self.conv(x).sigmoid()
            y = gate * x
            gate.mul_(0.5)
            del gate
            x = x + 0.3 * y
        return upsample_bicubic(x, 4)


class OutOfPlaceAgainAndAgain(Sound):
    def forward(self, x):
        for _ in range(6):
            x = x + 0.3 * self.conv(x).sigmoid() * x
        return upsample_bicubic(x, 4)


class OutOfPlace(Sound):
    """The same function."""

    def forward(self, x):
        gate = self.conv(2 * x).sigmoid()
        return upsample_bicubic(gate * 2 * x + 0.5 * gate, 4)


def warned(network, lr, **settings) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = local_attribution(network, lr, WINDOW, **settings)
    messages = [str(w.message) for w in caught if w.category is AttributionWarning]
    assert messages == [f"attribution: {doubt}" for doubt in found.doubts]
    assert found.record().get("doubts", []) == list(found.doubts)
    return messages


def test_a_sound_map_has_no_doubts(lr):
    assert warned(Sound(), lr) == []


@pytest.mark.parametrize("network", [WithoutGradient(), Detached()])
def test_no_gradient_is_an_error(lr, network):
    with pytest.raises(InputError, match="output has no gradient, which attribution needs: is the"):
        local_attribution(network, lr, WINDOW)


def test_two_runs_differ(lr):
    first, *_ = warned(Dropping(), lr)
    assert "the network is not deterministic: two runs on one image differ by" in first
    assert "(does it use dropout or noise that eval() does not switch off?)" in first


def test_rounded_output(lr):
    quantized, zeros = warned(Rounding(), lr)
    assert "the output is quantized to whole levels of 255, so its gradient is" in quantized
    assert "the map is all zeros, although the target changes by" in zeros
    (made_up,) = warned(StraightThrough(), lr)
    assert made_up == quantized


def test_levels_that_are_the_inputs_own_are_not_quantized():
    levels = torch.randint(256, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0)) / 255
    assert not is_quantized(nn.Upsample(scale_factor=2), levels)
    assert not is_quantized(torch.zeros_like, levels)  # flat, and whatever else


def test_a_map_that_does_not_sum_to_the_targets_change(lr):
    (message,) = warned(HalfTheGradient(), lr)
    share = int(message.partition("from the target's change by ")[2].partition("%")[0])
    assert share == pytest.approx(50, abs=5)  # the other half was detached


def test_a_flat_image(lr):
    (message,) = warned(Sound(), torch.full_like(lr, 0.5), target=_first_pixel)
    assert message.endswith("the target does not change along the path, so the map has no meaning")


def _first_pixel(window):
    return lambda sr: sr[:, 0, 32, 32]


def test_many_windows_warn_once(lr):
    with pytest.warns(AttributionWarning) as caught:
        attribute_grid(HalfTheGradient(), lr, size=16, step=32)
    assert len(caught) == 1
    assert "4 of 4 maps are not reliable; the first: the map is not complete" in str(
        caught[0].message
    )


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize(
    "networks",
    [(InPlace(), OutOfPlace()), (InPlaceAgainAndAgain(), OutOfPlaceAgainAndAgain())],
)
def test_code_that_overwrites_is_attributed_like_code_that_does_not(lr, networks, published):
    before = lr.clone()
    found, expected = (
        local_attribution(network, lr, WINDOW, n_steps=6, published=published)
        for network in networks
    )
    assert torch.equal(lr, before)
    torch.testing.assert_close(found.attributions, expected.attributions, rtol=1e-4, atol=1e-6)
    assert found.completeness_error == pytest.approx(expected.completeness_error, abs=1e-4)


def test_other_methods_take_code_that_overwrites(lr):
    before = lr.clone()
    tables = [
        compare_methods(network, lr, WINDOW, n_steps=4, samples=1).table.set_index("method")
        for network in (InPlace(), OutOfPlace())
    ]
    assert torch.equal(lr, before)
    found, expected = (table["attribution_sum"].dropna() for table in tables)
    assert len(found) >= 4
    assert found.to_numpy() == pytest.approx(expected.to_numpy(), rel=1e-3)


def test_difference_of_runs():
    assert difference_of_runs(nn.Identity(), torch.rand(1, 3, 4, 4)) == 0
