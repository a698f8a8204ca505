"""
Why pooling matters on images
=============================

Convolutions alone do not make a better kernel: without pooling, each position of the output sees
its own patch, and an image that is shifted is another image. A small network after the Myrtle
networks of :cite:t:`shankar2020`, two convolutions and a pool, twice, is compared with the same
without pools and with no convolutions at all.
"""
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from ntref import predict, stax

x, labels = load_digits(return_X_y=True)
x = ((x - x.mean()) / x.std()).reshape(-1, 8, 8, 1)[:500]
labels = labels[:500]


def conv(n):
    return stax.serial(*[stax.Conv(1, (3, 3), W_std=2 ** .5, b_std=.1, padding='SAME'), stax.Relu()] * n)


nets = {
    'no convolutions': stax.serial(
        stax.Flatten(), *[stax.Dense(1, 2 ** .5, .1), stax.Relu()] * 4, stax.Dense(1)),
    'convolutions': stax.serial(conv(4), stax.Flatten(), stax.Dense(1)),
    'convolutions, pools': stax.serial(
        conv(2), stax.AvgPool((2, 2), (2, 2)), conv(2), stax.GlobalAvgPool(), stax.Dense(1))}

# %%
# The mean over four draws of the digits to learn from, 300 others are tested.

rng, sizes = np.random.default_rng(0), (20, 50, 100, 200)
orders = [rng.permutation(200) for _ in range(4)]
ax = plt.subplots(layout='constrained')[1]
accuracy = {}
for (name, net), style in zip(nets.items(), ('o:', 's--', 'D-')):
    k = net.kernel_fn(x[:200], get='ntk')
    k_test = net.kernel_fn(x[200:], x[:200], 'ntk')
    accuracy[name] = []
    for n in sizes:
        tries = []
        for some in (order[:n] for order in orders):
            predict_fn = predict.gp_inference(k[np.ix_(some, some)], np.eye(10)[labels[some]] - .1, 1e-4)
            tries.append((predict_fn('ntk', k_test[:, some]).argmax(1) == labels[200:]).mean())
        accuracy[name].append(np.mean(tries))
    ax.plot(sizes, accuracy[name], style, label=name)
ax.set(xscale='log', xlabel='digits to learn from', ylabel='accuracy on 300 others')
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
ax.legend()
plt.show()

# %%
print({name: f'{found[-1]:.1%}' for name, found in accuracy.items()})
assert accuracy['convolutions, pools'][-1] > accuracy['convolutions'][-1]
