"""The weights that Focal Pixel Learning gives the pixels of an image."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.focal.weights import FocalParameters, focal_weights
from srlongtail.image.dataset import ImagePair
from srlongtail.longtail.tail import split_by_rank
from srlongtail.models.catalog import subject_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel
from srlongtail.models.sr_model import bicubic
from srlongtail.plots.images import add_colorbar, scale_top, show_map, show_photo
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.restored import RestoredImage

PARAMETERS = FocalParameters()


@dataclass(frozen=True)
class WeightMaps:
    """The weights of every pixel of one image.

    Attributes:
        pair: The image.
        subject: The network.
        maps: "static", "learnable" and "combined" -> weights `(H, W)`, averaged over the channels.
        growth: The same -> weights relative to the smallest possible one, alpha.
        tenths: Mean weights in each tenth of the pixels, ranked by bicubic's AD.
        hardest_times: The same names -> mean weight of the hardest tenth relative to the easiest.
    """

    pair: ImagePair
    subject: Subject
    maps: Mapping[str, Tensor]
    growth: Mapping[str, Tensor]
    tenths: pd.DataFrame
    hardest_times: Mapping[str, float]

    def frame(self) -> pd.DataFrame:
        """Return the mean weights in each tenth of the pixels, ranked by bicubic's AD."""
        return self.tenths

    def settings(self) -> dict[str, Any]:
        """Return the image shown and the parameters of the weights."""
        return {"image": self.pair.name, "focal_parameters": asdict(PARAMETERS)}

    def caption(self) -> str:
        """Return what the figure shows, in one or two sentences."""
        p = PARAMETERS
        return (
            f"Weights of {self.pair.name} at x{self.pair.scale} (mean over RGB): static from "
            f"bicubic's error, learnable from that of {self.subject.label}, and their "
            f"product; alpha {p.alpha_sp:g} and {p.alpha_lp:g}, gamma {p.gamma_sp:g} and "
            f"{p.gamma_lp:g}. Drawn over alpha, which scales all pixels alike. The tenth of the "
            f"pixels with the largest bicubic AD (hardest) weighs "
            f"{self.hardest_times['combined']:.2f} times as much as "
            f"the tenth with the smallest."
        )


def compute(model: AnyModel, image: RestoredImage) -> WeightMaps:
    """Compute the weights that Focal Pixel Learning gives one image, with the paper's parameters.

    Args:
        model: The network, whose error is the learnable prior.
        image: The image.
    """
    pair, p = image.pair, PARAMETERS
    low = image.sr(bicubic(pair.scale))
    weights = focal_weights(pair.hr[None], low[None], image.sr(model)[None], p)
    alphas = {"static": p.alpha_sp, "learnable": p.alpha_lp, "combined": p.alpha_sp * p.alpha_lp}
    maps = {name: getattr(weights, name)[0].mean(0) for name in alphas}
    growth = {name: maps[name] / alpha for name, alpha in alphas.items()}
    parts = split_by_rank(image.bicubic_difference())
    means = {
        name: [float(values.flatten()[part].mean()) for part in parts]
        for name, values in maps.items()
    }
    tenths = pd.DataFrame({"bicubic_ad_decile": range(1, len(parts) + 1), **means})
    times = {name: values[-1] / values[0] for name, values in means.items()}
    return WeightMaps(pair, subject_of(model), maps, growth, tenths, times)


def draw(result: WeightMaps) -> Figure:
    """Draw HR and the three maps, each relative to its alpha, on one color scale."""
    height, width = result.pair.hr.shape[-2:]
    figure = Figure(figsize=(PAGE, (PAGE - 0.8) / 4 * height / width + 0.55))
    axes = figure.subplots(1, 4)
    letter(show_photo(result.pair.hr, axes[0]), 0, f"HR, {result.pair.name}")
    origins = {
        "static": "bicubic's error",
        "learnable": f"error of {result.subject.label}",
        "combined": "product of (b) and (c)",
    }
    top = scale_top(result.growth["combined"], 0.998)
    for index, (name, values) in enumerate(result.growth.items(), start=1):
        drawn = show_map(values, axes[index], vmin=1, vmax=top, log=True)
        letter(axes[index], index, name)
        times = result.hardest_times[name]
        axes[index].set_xlabel(f"{origins[name]}\nhardest tenth: x {times:.2f}")
    bar = add_colorbar(drawn, axes[-1], "weight / alpha")
    ticks = [tick for tick in (1.0, 1.5, 2.0, 3.0, 4.0, 6.0) if tick <= top]
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    return figure
