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
# # 2 Focal weights
#
# Focal Pixel Learning (FPL) multiplies the loss of each pixel by two weights. The *static* one grows with
# bicubic's error, the *learnable* one with the network's own (Figure 5 of the paper). You will see the
# weights of a photo, turn FPL's dials on two patches, measure which share of the gradient reaches the hard
# pixels, and see what comes of it in 24 trained networks.

# %% [markdown]
# Four built-in photos, and the FPL network that ships.

# %%
import pandas as pd
import torch

import srlongtail as sr
from srlongtail.ablation.effects import effects
from srlongtail.focal.weights import FocalParameters
from srlongtail.geometry import crop
from srlongtail.longtail.gradients import output_gradient_share
from srlongtail.models.find import ZOO

# %% [markdown]
# More imports, and the data of this notebook.

# %%
from srlongtail.studies import weights
from srlongtail.studies.inline import show
from srlongtail.studies.restored import RestoredImage
from srlongtail.widgets import FocalDials

photos = sr.photos(scale=4)
bicubic, model = sr.load_model("bicubic"), sr.load_model("fsrcnn-fpl-x4")

# %% [markdown]
# **Where the weights are.** Static, learnable, and their product, which the loss applies, drawn over the
# smallest weight. They follow the edges. The hardest tenth of the pixels weighs only about 1.4 times as much
# as the easiest: a mild tilt.

# %%
show(weights.draw, weights.compute(model, RestoredImage(photos[0])))

# %% [markdown]
# **The dials.** A hard patch and an easy one, as a batch. `alpha` lifts all pixels alike, a constant factor
# on the loss, which Adam all but cancels. `gamma` tilts. With the scope "batch", as in the authors' code, the
# easy patch stays near the smallest weight, because its errors are small beside those of the hard one; with
# "image", each patch gets the full range. Without a running kernel you see a picture of the first setting.

# %%
windows = [(350, 140, 40), (20, 105, 40)]  # row, column, size in SR pixels
images = photos[0].hr, bicubic.restore(photos[0].lr), model.restore(photos[0].lr)
batch = [torch.stack([crop(image, window) for window in windows]) for image in images]
FocalDials(*batch)

# %% [markdown]
# **What reaches the network.** The share of the loss's gradient, at the network's output, on the tenth of
# the pixels with the largest bicubic AD. L1 pulls at every pixel with the same force, so this tenth gets 10%.
# `gamma` changes the shares, `alpha` does not.

# %%
losses = {
    "L1": sr.FocalPixelLoss(static=False, learnable=False),
    "static only": sr.FocalPixelLoss(learnable=False),
    "learnable only": sr.FocalPixelLoss(static=False),
    "FPL": sr.FocalPixelLoss(),
    "FPL, alpha x 10": sr.FocalPixelLoss(focal=FocalParameters(alpha_sp=5, alpha_lp=10)),
    "FPL, gamma = 2": sr.FocalPixelLoss(focal=FocalParameters(gamma_sp=2, gamma_lp=2)),
}

# %% [markdown]
# The table has a row for each loss, and the photos' shares in percent.

# %%
shares = output_gradient_share(losses, model, photos).query("tenth == 10")
shares.pivot(index="loss", columns="image", values="share").loc[list(losses)].round(1)

# %% [markdown]
# So FPL moves a few percent of the gradient towards the hard pixels. A gain in dB need not come from there:
# an FPL network also predicts a residual over bicubic (the *skip*).
#
# **Which part does what?** `srlongtail ablate skip-static-learnable` trains FSRCNN with every combination of
# the three parts and several seeds; its table ships with the package. The effect of a part is the mean over
# all runs that have it, minus the mean over those that have not; `sd` is over seeds. The tail is the tenth of
# the pixels where bicubic is worst, the head is the half where it is best.

# %%
grid = pd.read_csv(ZOO / "skip-static-learnable.csv").query("dataset == 'photos'")
measures = ["psnr_db", "tail_ad_levels", "head_ad_levels"]
found = [effects(grid, ["skip", "static", "learnable"], measure) for measure in measures]
pd.concat(found, keys=measures).droplevel(1).round(3)

# %% [markdown]
# The skip has nearly all of the gain in PSNR. The static weight does what it is meant to: it takes error out
# of the tail and leaves a little more in the head. These are short runs (4,000 iterations) of one small
# network.
