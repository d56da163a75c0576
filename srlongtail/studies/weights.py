"""Which pixels of an image Focal Pixel Learning attends to."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.focal.weights import FocalParameters, FocalWeights, focal_weights
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.difference import absolute_difference
from srlongtail.longtail.tail import split_by_rank
from srlongtail.models.catalog import subject_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_model import SRModel, bicubic
from srlongtail.plots.images import add_colorbar, scale_top, show_map, show_photo
from srlongtail.plots.style import PAGE, letter

PARAMETERS = FocalParameters()


@dataclass(frozen=True)
class WeightMaps:
    """The weights of every pixel and channel of one image; `weights` hold `(1, 3, H, W)`."""

    pair: ImagePair
    subject: Subject
    weights: FocalWeights

    def maps(self) -> dict[str, Tensor]:
        """The weights, mean over the channels, `(H, W)`, by name."""
        return {
            "static": self.weights.static[0].mean(0),
            "learnable": self.weights.learnable[0].mean(0),
            "combined": self.weights.combined[0].mean(0),
        }

    def growth(self) -> dict[str, Tensor]:
        """How many times the smallest possible weight, alpha, each pixel weighs."""
        p = PARAMETERS
        alphas = {
            "static": p.alpha_sp,
            "learnable": p.alpha_lp,
            "combined": p.alpha_sp * p.alpha_lp,
        }
        return {name: values / alphas[name] for name, values in self.maps().items()}

    def frame(self) -> pd.DataFrame:
        """Mean weight in each tenth of the pixels, ordered by bicubic's AD."""
        low = bicubic(self.pair.scale).restore(self.pair.lr)
        tenths = split_by_rank(absolute_difference(low, self.pair.hr))
        means = {
            name: [float(values.flatten()[tenth].mean()) for tenth in tenths]
            for name, values in self.maps().items()
        }
        return pd.DataFrame({"bicubic_ad_decile": range(1, 11), **means})

    def settings(self) -> dict[str, Any]:
        """The image shown, and the dials of the weights."""
        return {"image": self.pair.name, "focal_parameters": asdict(PARAMETERS)}

    def caption(self) -> str:
        """What the figure shows, in one or two sentences."""
        p = PARAMETERS
        combined = self.frame()["combined"]
        times = combined.iloc[-1] / combined.iloc[0]
        return (
            f"Weights of {self.pair.name} at x{self.pair.scale} (mean over RGB): static from "
            f"bicubic's error, learnable from that of {self.subject.label}, and their "
            f"product; alpha {p.alpha_sp:g} and {p.alpha_lp:g}, gamma {p.gamma_sp:g} and "
            f"{p.gamma_lp:g}. Drawn over alpha, which scales all pixels alike. The tenth of the "
            f"pixels with the largest bicubic AD (hardest) weighs {times:.2f} times as much as "
            f"the tenth with the smallest."
        )


def compute(model: SRModel, pair: ImagePair) -> WeightMaps:
    """The weights that Focal Pixel Learning with the paper's settings gives one image."""
    low = bicubic(pair.scale).restore(pair.lr)
    weights = focal_weights(pair.hr[None], low[None], model.restore(pair.lr)[None], PARAMETERS)
    return WeightMaps(pair, subject_of(model), weights)


def draw(result: WeightMaps) -> Figure:
    """HR and the three maps, each over its alpha, on one colour scale."""
    height, width = result.pair.hr.shape[-2:]
    figure = Figure(figsize=(PAGE, (PAGE - 0.8) / 4 * height / width + 0.55))
    axes = figure.subplots(1, 4)
    letter(show_photo(result.pair.hr, axes[0]), 0, f"HR, {result.pair.name}")
    origins = {
        "static": "bicubic's error",
        "learnable": f"error of {result.subject.label}",
        "combined": "product of (b) and (c)",
    }
    growth = result.growth()
    top = scale_top(growth["combined"], 0.998)
    tenths = result.frame()
    for index, (name, values) in enumerate(growth.items(), start=1):
        drawn = show_map(values, axes[index], vmin=1, vmax=top, log=True)
        letter(axes[index], index, name)
        times = tenths[name].iloc[-1] / tenths[name].iloc[0]
        axes[index].set_xlabel(f"{origins[name]}\nhardest tenth: x {times:.2f}")
    bar = add_colorbar(drawn, axes[-1], "weight / alpha")
    ticks = [tick for tick in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0) if tick <= top]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    return figure
