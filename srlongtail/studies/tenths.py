"""Where networks err, and where they gain over bicubic: tenths of the pixels by difficulty."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from srlongtail.evaluation import check_scales
from srlongtail.image.dataset import ImageSet
from srlongtail.longtail.bands import BandTable, interval_table, measure_bands
from srlongtail.models.catalog import subjects_of
from srlongtail.models.facts import Subject
from srlongtail.models.sr_images import AnyModel, fit_to_images
from srlongtail.plots.bands import plot_tenth_errors
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.writing import counted

_KEYS = ["model", "tenth"]


@dataclass(frozen=True)
class Tenths:
    """Error and gain in the tenths of the pixels, ranked by the gradient of HR, on any images.

    Attributes:
        datasets: Names of the data sets.
        bands: See `BandTable`.
        errors: Mean AD of each model and tenth, over images, with 95% intervals.
        gains: AD of bicubic less that of each network, likewise, paired by image.
        shares: Percent of an image's squared error in each tenth, likewise.
        subjects: What figures call the models, by name.
    """

    datasets: tuple[str, ...]
    bands: BandTable
    errors: pd.DataFrame
    gains: pd.DataFrame
    shares: pd.DataFrame
    subjects: Mapping[str, Subject]

    @classmethod
    def of(cls, models: Sequence[AnyModel], bands: BandTable) -> "Tenths":
        """Take the means over the images; bicubic is among the models."""
        rows = bands.rows
        keys = ["dataset", "image", "tenth"]
        bicubic = rows[rows["model"] == "bicubic"].set_index(keys)["ad_levels"].rename("bicubic")
        gains = rows[rows["model"] != "bicubic"].join(bicubic, on=keys)
        gains["gain"] = gains["bicubic"] - gains["ad_levels"]
        return cls(
            tuple(rows["dataset"].unique()),
            bands,
            interval_table(rows, _KEYS, "ad_levels"),
            interval_table(gains, _KEYS, "gain"),
            interval_table(bands.loss_shares(), _KEYS, "l2_share"),
            subjects_of(models),
        )

    def frame(self) -> pd.DataFrame:
        """Return one row per model and tenth: what is drawn, and the share of squared error."""
        tables = {"ad_levels": self.errors, "gain": self.gains, "l2_share": self.shares}
        parts = [table.assign(quantity=name) for name, table in tables.items()]
        table = pd.concat(parts, ignore_index=True)
        return table[["quantity", *table.columns.drop("quantity")]]

    def settings(self) -> dict[str, Any]:
        """Return what ranks the pixels."""
        return {"ranked_by": self.bands.ranked_by, "pooled": self.bands.pooled}

    def message(self) -> str:
        """Return the message of the figure, a sentence for each network."""
        sentences = []
        for name in self.gains["model"].unique():
            label = self.subjects[name].label
            shares = self.shares[self.shares["model"] == name].set_index("tenth")["estimate"]
            if shares.empty:
                sentences.append(f"{label}: no error")
                continue
            gains = self.gains[self.gains["model"] == name]
            worse = gains.loc[gains["estimate"] < 0, "tenth"].tolist()
            where = "in no tenth" if not worse else f"in {len(worse)} of 10 tenths"
            sentences.append(
                f"{label}: {shares.loc[10]:.0f}% of the squared error lies in the hardest tenth of "
                f"the pixels; worse than bicubic {where}"
            )
        return ". ".join(sentences)

    def caption(self) -> str:
        """Return what the figure shows."""
        count = int(self.errors["images"].max())
        return (
            f"Absolute difference (AD) of luma in each tenth of the pixels, ranked by the gradient "
            f"of HR, on {counted(count, 'image')} of {', '.join(self.datasets)}; means "
            f"with 95% intervals over the images. (a) AD. (b) Bicubic's AD less that of each "
            f"network, paired by image: above 0 the network is better."
        )


def compute(models: Sequence[AnyModel], data: ImageSet, *, skip_bad: bool = False) -> Tenths:
    """Measure all images; under `torchrun` the processes share them out.

    Args:
        models: Bicubic and any number of networks of the images' scale.
        data: The images.
        skip_bad: Leave out images that a folder of SR images lacks; see `SRImages.fit`.

    Raises:
        InputError: A model has another scale than the images, or SR images do not fit.

    Example:
        >>> from srlongtail import load_model, photos
        >>> models = [load_model("bicubic", scale=4), load_model("bicubic-matlab", scale=4)]
        >>> compute(models, photos(4)[1:2]).gains["estimate"].round(1).tolist()[-1]
        -0.2
    """
    check_scales(models, [data])
    data = fit_to_images(models, data, skip_bad=skip_bad)
    return Tenths.of(models, measure_bands(models, data))


def draw(result: Tenths) -> Figure:
    """Draw error and gain side by side."""
    figure = Figure(figsize=(PAGE, 2.3))
    errors, gains = figure.subplots(1, 2)
    for index, (ax, table, ylabel) in enumerate(
        (
            (errors, result.errors, "AD (levels of 255)"),
            (gains, result.gains, "gain over bicubic (levels)"),
        )
    ):
        plot_tenth_errors(table, ax, result.subjects, ylabel=ylabel)
        letter(ax, index, ylabel.split(" (")[0])
    return figure
