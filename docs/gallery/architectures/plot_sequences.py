"""
Time series: where it happens, or whether it happens
====================================================

A short bump hides somewhere in a noisy series of 40 steps: up-down in one class, down-up in the
other. A network of dense layers has to learn each place by itself. A convolution of 9 steps with
an average over all places learns the shape once.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

rng = np.random.default_rng(0)
y = np.arange(300) % 2 * 2. - 1
x = .5 * rng.standard_normal((300, 40, 1))
shape = np.sin(np.linspace(0, 2 * np.pi, 9)) * 2
for series, label in zip(x, y):
    start = rng.integers(0, 32)
    series[start:start + 9, 0] += label * shape

nets = {
    'dense': stax.serial(stax.Flatten(), stax.Dense(1, 1.5, .1), stax.Relu(), stax.Dense(1)),
    'convolution, average': stax.serial(
        stax.Conv(1, (9,), W_std=1.5, b_std=.1), stax.Relu(), stax.GlobalAvgPool(), stax.Dense(1))}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
for i, style in ((0, '--'), (1, '-')):
    left.plot(x[i, :, 0] - 4 * i, style, label=f'class {y[i]:+.0f}')
left.set(xlabel='time step', ylabel='signal, shifted', yticks=[])
left.legend()

sizes, accuracy = (10, 25, 50, 100, 200), {}
for (name, net), style in zip(nets.items(), ('s--', 'o-')):
    k = net.kernel_fn(x, get='ntk')
    accuracy[name] = [
        ((predict.gp_inference(k[:n, :n], y[:n], 1e-2)('ntk', k[200:, :n]) > 0) == (y[200:] > 0)).mean()
        for n in sizes]
    right.plot(sizes, accuracy[name], style, label=name)
right.set(xscale='log', xlabel='series to learn from', ylabel='accuracy on 100 others', ylim=(.4, 1.02))
right.set_xticks(sizes, sizes)
right.minorticks_off()
right.legend()
plt.show()

# %%
print({name: f'{found[-1]:.0%}' for name, found in accuracy.items()})
assert accuracy['convolution, average'][-1] > accuracy['dense'][-1] + .1
