# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What are more images worth?
#
# The scores of all benchmarks, against the number of images that each model was trained on.

# %% tags=["parameters"]
# In a run: the results of all `benchmark-model` notebooks. By hand: the shape they have.
scores = [
    {"nr_train_images": 400, "roc_auc_mean": 0.9936, "roc_auc_per_digit": {"0": 0.9999, "8": 0.97}},
    {"nr_train_images": 600, "roc_auc_mean": 0.9958, "roc_auc_per_digit": {"0": 1.0, "8": 0.98}},
]

# %% [markdown]
# ## ROC AUC: the mean, and each digit against the rest

# %%
import matplotlib.pyplot as plt
import pandas as pd
from spanbook import log

scores = sorted(scores, key=lambda score: score["nr_train_images"])
table = pd.DataFrame(
    [
        {"training images": s["nr_train_images"], "mean": s["roc_auc_mean"], **s["roc_auc_per_digit"]}
        for s in scores
    ]
).set_index("training images")

log.table("roc-auc.csv", table)
table.round(4)

# %%
fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.plot(table.drop(columns="mean"), color="0.8", lw=1)
ax.plot([], color="0.8", lw=1, label="one digit")
ax.plot(table["mean"], color="tab:blue", marker="o", lw=2, label="mean")
for size, mean in table["mean"].items():
    ax.annotate(f"{mean:.4f}", (size, mean), (0, 8), textcoords="offset points", ha="center", fontsize=9)
ax.set(xlabel="training images", ylabel="ROC AUC on the test set", xticks=table.index)
ax.set_title("ROC AUC against training-set size")
ax.legend(frameon=False, loc="lower right")
ax.spines[["top", "right"]].set_visible(False)
log.figure("roc-auc.png", fig)

# %%
for size, mean in table["mean"].items():
    log.metric("roc_auc_mean", mean, step=size)
log.metric("best_roc_auc_mean", table["mean"].max())
