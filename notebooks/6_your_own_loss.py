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
# # 6 Your own loss on the bench
#
# A loss of a few lines is compared with L1, beside two controls and with three seeds. You will see which
# pixels the loss trains, the verdicts of the bench, and how little a bench of one minute can say. The last
# part shows the same verdicts for the losses that ship, from longer runs on more images.

# %% [markdown]
# **Images.** Training reads folders. Three of the built-in photos are for training, the astronaut is for the
# comparison.

# %%
import tempfile
from pathlib import Path

import pandas as pd
from IPython.display import Markdown
from torch import nn

import srlongtail as sr
from srlongtail.ablation.losses import loss_grid, run_losses
from srlongtail.longtail.gradients import output_gradient_share
from srlongtail.losses.catalog import make_loss

# %% [markdown]
# More imports, and the data of this notebook.

# %%
from srlongtail.studies import losses as verdicts
from srlongtail.studies.inline import show
from srlongtail.training.recipe import find_recipe

temporary = tempfile.TemporaryDirectory()
folder = Path(temporary.name)
photos = sr.photos(scale=4)
for kind, pairs in {"train": photos[1:], "astronaut": photos[:1]}.items():
    for pair in pairs:
        sr.write_image(folder / kind / f"{pair.name}.png", pair.hr)


# %% [markdown]
# **Your loss** is an `nn.Module` that takes the SR image, HR and bicubic's image, each `(N, 3, H, W)` in
# [0, 1], and returns one number. Change this one and run the notebook again.

# %%
class EdgeLoss(nn.Module):
    """L1, three times as heavy where bicubic is off by more than 0.05."""

    def forward(self, sr, hr, bicubic):
        weight = 1 + 2 * ((hr - bicubic).abs() > 0.05)
        return (weight * (sr - hr).abs()).mean()


# %% [markdown]
# **Which pixels does it train?** The share of the gradient that each tenth of the pixels has, in percent, at
# the output of a trained network. Tenth 1 is the easiest by the gradient of HR. L1 treats all alike.

# %%
network = sr.load_model("fsrcnn-skip-x4")
losses = {"L1": make_loss("l1"), "FPL": make_loss("fpl"), "EdgeLoss": EdgeLoss()}
shares = output_gradient_share(losses, network, photos[:1], ranked_by="gradient")
shares.pivot(index="loss", columns="tenth", values="share").loc[list(losses)].round(1)

# %% [markdown]
# **The bench.** `__main__` is this notebook. Besides the losses named, L1 is trained again from weights that
# differ by rounding errors, and for longer. `bicubic-ad-gamma4` is a control: a weight that is far too
# strong. All losses of a seed share initial weights and patches.

# %%
small = {
    **{"network": "espcn", "learning_rate": 3e-3, "patch": 16, "batch": 8},
    **{"precision": "float32", "validation": str(folder / "astronaut")},
}
recipe = find_recipe("fsrcnn-skip-x4").changed(small)
compared = ["__main__:EdgeLoss", "bicubic-ad-gamma4"]
grid = loss_grid(recipe, compared, seeds=(0, 1, 2), iterations=100)
runs = [{"loss": run.loss, "iterations": run.recipe.iterations} for run in grid.runs()]
pd.DataFrame(runs).value_counts(sort=False).rename("runs").to_frame()

# %% [markdown]
# **Run it.** This takes about a minute. A bench that was interrupted goes on where it stopped, and a loss
# that has changed is trained again.

# %%
astronaut = sr.open_data(folder / "astronaut", scale=4)
out, train = folder / "bench", str(folder / "train")
run_losses(grid, out, [train], tests=[astronaut], device="cpu", allow_code=True)
table, gradients, record = verdicts.read_bench(out / "losses.csv")
mine = verdicts.compute(table, gradients, record=record, dataset="astronaut")
show(verdicts.draw, mine)

# %% [markdown]
# **The verdicts.** "effect": the interval of the difference from L1 excludes 0. "effect below the margin": it
# does, but the difference is too small to matter. "no effect": the interval contains 0 and lies within the
# margin. "undecided": none of these. `moves` says where the error goes, if both rankings of the pixels agree.

# %%
columns = ["title", "psnr_db", "psnr_db_low", "psnr_db_high", "psnr_verdict", "moves"]
mine.frame()[[*columns, "l1_iterations"]].round(3)

# %% [markdown]
# **What this does not say.** These runs are so short that a loss which only speeds up the start looks better.
# The last column above shows it: the factor by which L1 must train longer for the same PSNR. If the control
# that is far too strong gains as well, the bench sees nothing but the start. The intervals are over seeds,
# for one photo. The caption of the picture says all this with numbers.

# %%
Markdown(mine.caption())

# %% [markdown]
# **The bench that ships**: FSRCNN, trained on hundreds of images and compared on images that no run has seen.
# `read_bench` without arguments reads its table; `srlongtail losses` prints the same verdicts. To run such a
# bench with your loss: `srlongtail ablate losses --loss my_losses:EdgeLoss --data DIR`.

# %%
table, gradients, record = verdicts.read_bench()
shipped = verdicts.compute(table, gradients, record=record)
show(verdicts.draw, shipped)
Markdown(shipped.caption())

# %% [markdown]
# **From gradient to result.** The share of the hardest tenth in the gradient when training starts, and what
# came of it: the change in the error of the tail, in levels, and in PSNR.

# %%
hardest = gradients.query("tenth == 10 and ranked_by == 'gradient'")
share = hardest.groupby("loss")["share_at_start"].mean().rename("share of tenth 10 (%)")
found = shipped.frame().set_index("loss").join(share)
found[["title", share.name, "tail_gradient", "psnr_db", "psnr_verdict", "moves"]].round(3)

# %% [markdown]
# **Does a gain last?** The change in PSNR over L1 of the same length, by the iterations of a run.

# %%
counts = table.groupby("iterations")["loss"].nunique()
by_length = {
    length: verdicts.compute(table, gradients, iterations=length).frame().set_index("title")
    for length in counts[counts > 1].index
}
pd.concat({n: frame["psnr_db"] for n, frame in by_length.items()}, axis=1).round(3)
