"""
Time series: where it happens, or whether it happens
====================================================

A short bump hides somewhere in a noisy series of 30 steps: up-down in one class, down-up in the
other. A network of dense layers has to learn each place by itself. A convolution of 9 steps with
an average over all places learns the shape once.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

rng = np.random.default_rng(0)
y = np.arange(200) % 2 * 2. - 1
x = .5 * rng.standard_normal((200, 30, 1))
shape = np.sin(np.linspace(0, 2 * np.pi, 9)) * 2
for series, label in zip(x, y):
    start = rng.integers(0, 22)
    series[start:start + 9, 0] += label * shape

nets = {
    'dense': stax.serial(stax.Flatten(), stax.Dense(1, 1.5, .1), stax.Relu(),
                         stax.Dense(1)),
    'convolution, average': stax.serial(
        stax.Conv(1, (9,), W_std=1.5, b_std=.1), stax.Relu(), stax.GlobalAvgPool(),
        stax.Dense(1))}


def accuracy_from(k, some):
    predict_fn = predict.gp_inference(k[np.ix_(some, some)], y[some], diag_reg=1e-2)
    return np.mean((predict_fn('ntk', k[120:, some]) > 0) == (y[120:] > 0))


# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
for i, style in ((0, '--'), (1, '-')):
    left.plot(x[i, :, 0] - 4 * i, style, label=f'class {y[i]:+.0f}')
left.set(xlabel='time step', ylabel='signal, shifted', yticks=[])
left.legend()

sizes, accuracy = (8, 15, 30, 60, 120), {}
tries = [rng.permutation(120) for _ in range(5)]   # five draws of each size
for (name, net), style in zip(nets.items(), ('s--', 'o-')):
    k = net.kernel_fn(x, get='ntk')
    accuracy[name] = [np.mean([accuracy_from(k, i[:n]) for i in tries]) for n in sizes]
    right.plot(sizes, accuracy[name], style, label=name)
right.set(xscale='log', xlabel='series to learn from', ylabel='accuracy on 80 others',
          ylim=(.4, 1.02))
right.set_xticks(sizes, sizes)
right.minorticks_off()
right.legend()
plt.show()

# %%
for name, found in accuracy.items():
    print(f'{name}: {found[2]:.0%} right from 30 series')
assert accuracy['convolution, average'][2] > accuracy['dense'][2] + .05
