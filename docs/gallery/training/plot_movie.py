"""
A movie of training
===================

Gradient descent learns what is easy first: the slow parts of the targets within a few steps, the
fast wiggle last, because the eigenvalues of the kernel that carry it are small. The movie shows
mean and band of infinitely wide networks at each time.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, predict, stax

net = stax.serial(stax.Dense(512, W_std=3., b_std=1.), stax.Erf(), stax.Dense(1))
x_train = np.linspace(-2, 2, 24)[:, None]
slow, fast = np.sin(1.5 * x_train), .4 * np.sin(9 * x_train)
predict_fn = predict.gradient_descent_mse_ensemble(net, x_train, slow + fast)

x, times = np.linspace(-2.5, 2.5, 101)[:, None], np.geomspace(1, 1e6, 13)
figure, ax = plt.subplots(figsize=(5, 3.5), layout='constrained')
movie = plot.training_movie(predict_fn, times, x, ax=ax)
# movie.save('training.gif', 'pillow') writes it to a file

# %%
# Four of its frames, for paper:

figure, axes = plt.subplots(1, 4, figsize=(11, 3), sharey=True, layout='constrained')
for ax, t in zip(axes, (1., 1e2, 1e4, 1e6)):
    plot.posterior(predict_fn, x, t, ax=ax).set_title(f't = {t:.0e}')
    if ax is not axes[0]:
        ax.get_legend().remove()
        ax.set_ylabel('')
plt.show()

# %%
# How much of each part has been learnt? The projection of the mean on it says.


def learnt(part, t):
    return (part * predict_fn(t, None, 'ntk')).sum() / (part * (slow + fast)).sum()


for t in 1e2, 1e4, 1e6:
    print(f't = {t:.0e}: slow {learnt(slow, t):.0%}, fast {learnt(fast, t):.0%}')
assert learnt(slow, 1e2) > .9 and learnt(fast, 1e2) < .2 and learnt(fast, 1e6) > .9
