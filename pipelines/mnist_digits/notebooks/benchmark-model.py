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
# # How good is the model?
#
# The exported ONNX model is run on images that it has never seen, as an application would run it:
# with onnxruntime alone, and no scikit-learn.

# %% tags=["parameters"]
trained = None  # in a run: the value of a task `train_model`, the model and its test set
nr_train_images = 400

# %%
import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from sklearn.metrics import roc_auc_score, roc_curve
from spanbook import log

if trained is None:  # by hand, in this folder
    import sys

    sys.path.insert(0, "..")
    from tasks import ingest, split_train_test, train_model

    trained = train_model(split_train_test(ingest(), train_ratio=0.7), nr_train_images)

# %%
session = onnxruntime.InferenceSession(trained.onnx)
(pixels,) = session.get_inputs()

labels = trained.test.labels
predicted, probabilities = session.run(None, {pixels.name: trained.test.images.reshape(-1, 64)})

accuracy = float(np.mean(predicted == labels))
log.metric("accuracy", accuracy)
print(f"{accuracy:.1%} of {len(labels)} test images read rightly after training on {nr_train_images}")

# %% [markdown]
# ## How sure is it?
#
# For each digit, the probability that the model gives it: on images that do show the digit, and on
# all others. The farther the two lie apart, the better they can be told.


# %%
def panels(title):
    """Ten small axes, one a digit, in two rows of five."""
    fig, axes = plt.subplots(
        2, 5, figsize=(10, 4.4), sharex=True, sharey=True, layout="constrained"
    )
    fig.suptitle(title)
    for digit, ax in enumerate(axes.flat):
        ax.set_title(f"digit {digit}", fontsize=10)
        ax.spines[["top", "right"]].set_visible(False)
    return fig, axes


fig, axes = panels(f"Predicted probability of each digit ({nr_train_images} training images)")
for digit, ax in enumerate(axes.flat):
    shows_it = labels == digit
    style = {"bins": np.linspace(0, 1, 21), "density": True, "histtype": "stepfilled"}
    ax.hist(probabilities[~shows_it, digit], **style, color="tab:orange", label="other digits")
    ax.hist(probabilities[shows_it, digit], **style, color="tab:blue", alpha=0.8, label="this digit")
axes[0, 0].legend(fontsize=8, frameon=False)
fig.supxlabel("probability", fontsize=10)
fig.supylabel("density", fontsize=10)
log.figure("probabilities.png", fig)

# %% [markdown]
# ## One digit against the rest
#
# A ROC curve asks: if we accept more false alarms, how many more of this digit do we find? The area
# under it (AUC) is the chance that an image of the digit gets a higher probability than one of
# another: 0.5 is guessing, 1 is perfect. Note that the axis shows the first tenth only.

# %%
fig, axes = panels(f"ROC curves, one digit against the rest ({nr_train_images} training images)")
aucs = {}
for digit, ax in enumerate(axes.flat):
    false_alarms, found, _ = roc_curve(labels == digit, probabilities[:, digit])
    aucs[str(digit)] = float(roc_auc_score(labels == digit, probabilities[:, digit]))
    ax.plot(false_alarms, found, color="tab:blue", drawstyle="steps-post")
    ax.annotate(f"AUC {aucs[str(digit)]:.4f}", (0.95, 0.08), xycoords="axes fraction", ha="right", fontsize=9)
    ax.set(xlim=(-0.004, 0.1), ylim=(0, 1.03))
fig.supxlabel("false positive rate", fontsize=10)
fig.supylabel("true positive rate", fontsize=10)
log.figure("roc-curves.png", fig)

# %%
for digit, auc in aucs.items():
    log.metric(f"roc_auc_{digit}", auc)
mean_auc = float(np.mean(list(aucs.values())))
log.metric("roc_auc_mean", mean_auc)
log.value("roc_auc_per_digit", aucs)

# What the tasks downstream get.
log.result({"nr_train_images": nr_train_images, "roc_auc_mean": mean_auc, "roc_auc_per_digit": aucs})
