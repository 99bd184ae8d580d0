# %% [markdown]
# # How do the totals of dice spread?

# %% tags=["parameters"]
throws = [[1, 6, 3, 2, 5], [7, 2, 12, 9, 5]]  # by hand; in a run: what the tasks returned

# %%
import matplotlib.pyplot as plt
from spanbook import log

fig, ax = plt.subplots()
ax.boxplot(throws)
ax.set(xlabel="task", ylabel="total")
log.figure("spread.png", fig)
