"""
How much do more examples help?
===============================

Learning curves of infinitely wide networks on MNIST: the error on 1,000 other digits against the
number of digits to learn from. One kernel of all digits serves every point of the curve.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

data = np.load('../../../validation/data/mnist.npz')
x = data['images'][:2600].reshape(2600, 784) / 255
x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
labels = data['labels'][:2600].astype(int)
y = np.eye(10)[labels] - .1

net = stax.serial(*[stax.Dense(1, 1.2, .3), stax.Relu()] * 3, stax.Dense(1, 1.2, .3))
kernels = net.kernel_fn(x[:1600], get=('nngp', 'ntk'))
test = net.kernel_fn(x[1600:], x[:1600], ('nngp', 'ntk'))

# %%
# Each point is the mean over as many disjoint sets as there are, eight at most, with its standard
# error.

sizes = (12, 25, 50, 100, 200, 400, 800, 1600)
ax = plt.subplots(layout='constrained')[1]
curves = {}
for get, style in (('nngp', 'o-'), ('ntk', 's--')):
    k, k_test = getattr(kernels, get), getattr(test, get)
    errors = []
    for n in sizes:
        sets = [slice(i, i + n) for i in range(0, 1600, n)][:8]
        outputs = (
            predict.gp_inference(k[s, s], y[s], diag_reg=1e-4)(get, k_test[:, s])
            for s in sets)
        errors.append([np.mean(f.argmax(1) != labels[1600:]) for f in outputs])
    mean = curves[get] = np.array([np.mean(e) for e in errors])
    sd = [np.std(e, ddof=1) / len(e) ** .5 if len(e) > 1 else 0 for e in errors]
    ax.errorbar(sizes, mean, sd, fmt=style, ms=5, capsize=3,
                label=f'{get.upper()}, 3 layers')
ax.set(xscale='log', yscale='log', xlabel='digits to learn from', ylabel='test error')
ax.set_xticks(sizes, sizes)
ax.set_yticks([.05, .1, .2, .4], ['5 %', '10 %', '20 %', '40 %'])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# A straight line in this picture is a power law.

slope = np.polyfit(np.log(sizes[3:]), np.log(curves['nngp'][3:]), 1)[0]
print(f'NNGP, 1,600 digits: {curves["nngp"][-1]:.1%}; the error falls like n ** {slope:.2f}')
assert -.7 < slope < -.3 and curves['nngp'][-1] < .08
