# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3 Which pixels a network uses
#
# A local attribution map (LAM) tells which low-resolution (LR) pixels influence a window of the SR image, and
# the diffusion index (DI) puts the map's spread into one number (Figure 6 of the paper). You will see both
# for a baseline and its FPL twin, click a window of your own, and see what DI depends on besides the network.

# %% [markdown]
# One photo and two networks.

# %%
import warnings

import pandas as pd

import srlongtail as sr
from srlongtail.attribution.trust import AttributionWarning
from srlongtail.attribution.windows import compare_by_band
from srlongtail.studies import attribution
from srlongtail.studies.inline import show

# %% [markdown]
# More imports, and the data of this notebook.

# %%
from srlongtail.studies.restored import RestoredImage
from srlongtail.widgets import WindowPicker

warnings.simplefilter("ignore", AttributionWarning)  # doubts are counted below instead
photos = sr.photos(scale=4)
baseline, fpl = networks = [sr.load_model(name) for name in ("fsrcnn-x4", "fsrcnn-fpl-x4")]
image = RestoredImage(photos[0])

# %% [markdown]
# **One window**, by default the one with most tail pixels by *bicubic's* error, never by that of a network
# under study. Red LR pixels raise the window's sum of gradients (its edges), blue ones lower it. The dashed
# box is the receptive field, found by trying; no map can reach farther.

# %%
hardest = attribution.compute(networks, image)
show(attribution.draw, hardest)

# %% [markdown]
# **Its numbers.** DI is the spread in percent of the canvas, n_eff the same in LR pixels. The last columns
# say whether to trust them: attributions should add up to the change of the target along the path from
# blurred to sharp, and no step may have a NaN gradient.

# %%
columns = ["model", "diffusion_index", "n_eff", "completeness_error", "nan_steps"]
hardest.frame()[columns].round(3)

# %% [markdown]
# **Click a window.** The map and n_eff below the photo follow: click to center the window, drag inside to
# move it, or use the arrow keys. This needs a running kernel.

# %%
picker = WindowPicker(photos[0].hr, (120, 180, 32), name=photos[0].name)
picker.follow("window", lambda window: attribution.compute(networks, image, window).message())

# %% [markdown]
# **DI depends on the canvas, n_eff does not.** The same window and network, on ever larger cut-outs around
# it. Nothing outside the receptive field matters, so the map stays what it is; but DI divides by the number
# of pixels of the canvas. Compare DI on one canvas size only.

# %%
pair, (row, column, size), rows = photos[0], hardest.window, []
for margin in (4, 8, 16, 32):
    box = hardest.maps[fpl.name].field.grown(margin, *pair.lr.shape[-2:])
    inside = (row - 4 * box.top, column - 4 * box.left, size)
    lam = sr.local_attribution(fpl, box.cut(pair.lr), inside)
    rows.append((f"{box.height} x {box.width}", lam.diffusion_index, lam.n_eff))
pd.DataFrame(rows, columns=["canvas", "DI (%)", "n_eff (LR pixels)"]).round(2)

# %% [markdown]
# **Completeness.** Gradients are summed in steps along the path. The more steps, the closer the sum comes to
# what it should be, while n_eff hardly moves. The published 50 steps are a fair choice.

# %%
steps = {
    n: sr.local_attribution(fpl, pair.lr, hardest.window, n_steps=n) for n in (5, 10, 25, 50, 100)
}
rows = {n: (lam.completeness_error, lam.n_eff) for n, lam in steps.items()}
pd.DataFrame(rows, index=["completeness error", "n_eff"]).T.rename_axis("steps").round(3)


# %% [markdown]
# **More than one window.** One window proves nothing. Here are twenty: in each photo one of every fifth of
# difficulty by bicubic's error, the same for both networks. `difference` is by how many LR pixels FPL exceeds
# the baseline, with its 95% interval over the photos. Some maps are not complete to 5%; the first line counts
# them.

# %%
def bicubic_ad(pair):
    return RestoredImage(pair).bicubic_difference()


compared = compare_by_band({m.name: m for m in networks}, photos, bicubic_ad, bands=5)
incomplete = compared.frame()["completeness_error"] > 0.05
print(f"{incomplete.sum()} of {len(incomplete)} maps are off completeness by more than 5%")
compared.summary("n_eff").round(1)

# %% [markdown]
# A network is not better for using more pixels. And the two differ in more than their loss: the FPL network
# adds a residual to bicubic. Compare networks of one budget, over many images and several seeds, before you
# conclude.
