"""How many LR pixels a network draws each part of an image from: a map of n_eff."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from srlongtail.attribution.trust import COMPLETE
from srlongtail.attribution.windows import SIZE, attribute_grid
from srlongtail.geometry import crop
from srlongtail.models.catalog import subject_of
from srlongtail.models.sr_model import SRModel
from srlongtail.plots.attribution import N_EFF, plot_against_difficulty, show_grid
from srlongtail.plots.images import add_colorbar, show_photo
from srlongtail.plots.style import PAGE, letter
from srlongtail.studies.restored import RestoredImage

_LIKELY = (0.05, 0.5, 0.95)  # quantiles over windows that the message names


@dataclass(frozen=True)
class AttributionGrid:
    """The effective LR pixels of every window of a grid over an image.

    Attributes:
        image: Its name.
        scale: SR pixels per LR pixel.
        photo: HR, `(3, H, W)`, or, where there is none, the enlarged LR image.
        photo_name: What of the two it is.
        network: What figures call the network.
        size, step: Side and spacing of the windows, in SR pixels.
        table: See `WindowGrid.frame`; where there is HR, also `bicubic_ad`, the mean of bicubic's
            AD of luma over the window, in levels of 255.
        map: The n_eff of each window, `(rows, columns)`; NaN where a map is not reliable.
        quantiles: Of n_eff over the windows with a reliable map: 5%, 50%, 95%.
        rank_correlation: Spearman's, of n_eff and `bicubic_ad`; NaN where there is no HR.
    """

    image: str
    scale: int
    photo: Tensor
    photo_name: str
    network: str
    size: int
    step: int
    table: pd.DataFrame
    map: Tensor
    quantiles: tuple[float, ...]
    rank_correlation: float

    @property
    def unreliable(self) -> int:
        """Number of windows whose map is not reliable."""
        return int((~self.table["reliable"]).sum())

    def frame(self) -> pd.DataFrame:
        """Return one row a window."""
        return self.table

    def settings(self) -> dict[str, Any]:
        """Return which windows were measured, and how many of them are left out of statistics."""
        known = pd.notna(self.rank_correlation)
        return {
            "image": self.image,
            "size": self.size,
            "step": self.step,
            "windows": len(self.table),
            "unreliable_windows": self.unreliable,
            "n_eff_quantiles": dict(zip(map(str, _LIKELY), self.quantiles, strict=True)),
            "rank_correlation_with_bicubic_ad": self.rank_correlation if known else None,
        }

    def message(self) -> str:
        """Return how many pixels most windows draw on."""
        if self.unreliable == len(self.table):
            return f"{self.network}: none of the maps of {self.image} is reliable"
        low, median, high = self.quantiles
        return (
            f"{self.network} draws a {self.size} x {self.size} window of {self.image} from "
            f"{median:.0f} effective LR pixels ({low:.0f} to {high:.0f} in 90% of the windows)"
        )

    def caption(self) -> str:
        """Return what the figure shows, in a few sentences."""
        sentences = [
            f"{self.message()}.",
            f"(a) {self.photo_name}; (b) {len(self.table):,} windows, one every {self.step} SR "
            f"pixels, colored by the effective number of LR pixels (n_eff) of their local "
            f"attribution map.",
        ]
        if pd.notna(self.rank_correlation):
            sentences.append(
                f"(c) The same against bicubic's mean AD in the window: Spearman's rank "
                f"correlation is {self.rank_correlation:+.2f}. Neighboring windows are not "
                f"independent, so no interval is given."
            )
        if self.unreliable:
            sentences.append(
                f"Hatched inside: {self.unreliable:,} windows whose map is not reliable (the sum "
                f"of the attributions is off by more than {COMPLETE:.0%}, or the target does not "
                f"change); they are left out of all numbers."
            )
        sentences.append("More pixels used are not pixels better used.")
        return " ".join(sentences)


def compute(
    model: SRModel,
    image: RestoredImage,
    *,
    size: int = SIZE,
    step: int | None = None,
    has_hr: bool = True,
    published: bool = False,
) -> AttributionGrid:
    """Attribute all windows of a grid; under `torchrun` the processes share them out.

    Args:
        model: The network.
        image: The image, with what models make of it.
        size: Side of the windows, in SR pixels.
        step: Their spacing; default: their side, so that they do not overlap.
        has_hr: Whether the HR image of the pair is real, and not an enlarged LR image.
        published: Reproduce the published code of LAM.

    Raises:
        InputError: Windows larger than the image, or a step below 1.

    Example:
        >>> from srlongtail.image.dataset import photos
        >>> from srlongtail.models.sr_model import bicubic
        >>> found = compute(bicubic(4), RestoredImage(photos(4)[1]), size=64, step=128)
        >>> found.map.shape, len(found.frame())
        (torch.Size([2, 3]), 6)
    """
    from scipy.stats import spearmanr  # slow to import

    step = size if step is None else step
    lr, sr = (values.to(model.device) for values in (image.pair.lr, image.output(model)))
    grid = attribute_grid(model, lr, size, step, sr=sr, published=published)
    table = grid.frame()
    if has_hr:
        difference = image.bicubic_difference()
        windows = table[["row", "col", "size"]].itertuples(index=False, name=None)
        table = table.assign(bicubic_ad=[float(crop(difference, w).mean()) for w in windows])
    trusted = table[table["reliable"]]
    correlation = float("nan")
    if has_hr and trusted["n_eff"].nunique() > 1 and trusted["bicubic_ad"].nunique() > 1:
        correlation = float(spearmanr(trusted["n_eff"], trusted["bicubic_ad"]).statistic)
    return AttributionGrid(
        image=image.pair.name,
        scale=image.pair.scale,
        photo=image.pair.hr,
        photo_name="HR" if has_hr else "LR, enlarged",
        network=subject_of(model).label,
        size=size,
        step=step,
        table=table,
        map=grid.map().where(grid.map("reliable").bool(), torch.nan),
        quantiles=tuple(trusted["n_eff"].quantile(list(_LIKELY)).tolist()),
        rank_correlation=correlation,
    )


def draw(result: AttributionGrid) -> Figure:
    """Draw the photo, the map of n_eff, and n_eff against the difficulty, at page width."""
    height, width = result.photo.shape[-2:]
    compared = pd.notna(result.rank_correlation)
    panels = 3 if compared else 2
    figure = Figure(figsize=(PAGE, 0.7 + PAGE / panels * min(height / width, 1.2)))
    figure.suptitle(result.message(), fontsize=8)
    axes = figure.subplots(1, panels)
    letter(show_photo(result.photo, axes[0]), 0, f"{result.photo_name}, {result.image}")
    drawn = show_grid(result.map, axes[1], height, width, size=result.size, step=result.step)
    add_colorbar(drawn, axes[1], f"{N_EFF} (LR pixels)", extend="neither")
    letter(axes[1], 1, "effective LR pixels")
    if compared:
        trusted = result.table[result.table["reliable"]]
        label = f"{N_EFF} (LR pixels)"
        plot_against_difficulty(trusted["bicubic_ad"], trusted["n_eff"], axes[2], label)
        axes[2].set_box_aspect(height / width)
        letter(axes[2], 2, f"rank correlation {result.rank_correlation:+.2f}")
    return figure
