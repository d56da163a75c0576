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
# # 1 The long tail
#
# A super-resolution (SR) network restores most pixels of a photo well and a few badly. You will see where
# these few are, how much of the error they carry (Figure 1 of the paper), in which tenths of the pixels
# networks gain over bicubic, and two traps: a ranking that makes every network look worse than bicubic, and
# a better network that looks more long-tailed.

# %% [markdown]
# Four built-in photos, reduced four times as in the paper, and three models: bicubic, and two networks that
# ship, FSRCNN without and with Focal Pixel Learning (FPL).

# %%
import pandas as pd

import srlongtail as sr
from srlongtail.stats import gini
from srlongtail.studies import tail, tenths
from srlongtail.studies.inline import show
from srlongtail.widgets import ComparisonViewer

photos = sr.photos(scale=4)
models = [sr.load_model(name) for name in ("bicubic", "fsrcnn-x4", "fsrcnn-fpl-x4")]

# %% [markdown]
# **Where.** The viewer shows HR, what each model makes of it, and the absolute difference (AD): press `d`, or
# the numbers to toggle. Every AD map is dark nearly everywhere. What remains lies on edges and fine texture,
# at much the same places for all models.

# %%
ComparisonViewer(models, photos[1])

# %% [markdown]
# **How few.** The AD of all photos, with a logarithmic axis. The tail begins where bicubic's worst tenth of
# the pixels does. The memory needed does not grow with the number of images.

# %%
long_tail = tail.compute(models, photos)
show(tail.draw, long_tail)
long_tail.summary.round(3)

# %% [markdown]
# **Who gains where.** Rank the pixels by the gradient of HR, which no network influences, and split them into
# tenths. FPL's network gains in all ten, plain FSRCNN in nine, both most in the hardest. Intervals are over the four
# photos, so they are wide.

# %%
by_tenth = tenths.compute(models, photos)
show(tenths.draw, by_tenth)
print(by_tenth.message())

# %% [markdown]
# **The luck trap.** Rank the same pixels by bicubic's own AD instead, as the paper does. Now both networks
# seem *worse* than bicubic in the easy tenths. That ranking picks the pixels where bicubic was lucky; any
# other estimate is less lucky there.

# %%
bands = {
    ranking: sr.measure_bands(models, photos, ranking) for ranking in ("gradient", "bicubic_ad")
}
means = {
    ranking: table.frame().groupby(["tenth", "model"])["ad_levels"].mean().unstack()
    for ranking, table in bands.items()
}
print(bands["bicubic_ad"].caution)
pd.concat(means, axis=1).round(2)

# %% [markdown]
# **How unequal.** The Gini coefficient is 0 if all pixels have the same error, and near 1 if few have all of
# it. Both networks lower the mean AD. Look at what happens to Gini.

# %%
ad = {m.name: [sr.absolute_difference(m.restore(p.lr), p.hr) for p in photos] for m in models}
rows = [
    (n, p.name, float(a.mean()), gini(a)) for n in ad for p, a in zip(photos, ad[n], strict=True)
]
table = pd.DataFrame(rows, columns=["model", "photo", "mean_ad", "gini"])
table.pivot(index="photo", columns="model").round(3)

# %% [markdown]
# **The second trap.** Models that do not exist show why. Halving *every* error leaves Gini where it was.
# Halving only the easy errors is an improvement, and raises it. Making every pixel worse lowers it. So a
# lower Gini, or a smaller share of the error in the tail, does not say that the tail is cured: read them
# beside the mean.

# %%
errors = ad["bicubic"][0]
hard = errors > long_tail.threshold
cases = {
    "bicubic": errors,
    "every error halved": errors / 2,
    "easy errors halved": errors.where(hard, errors / 2),
    "5 levels worse everywhere": errors + 5,
}
pd.DataFrame({n: {"mean_ad": float(a.mean()), "gini": gini(a)} for n, a in cases.items()}).T.round(
    3
)
