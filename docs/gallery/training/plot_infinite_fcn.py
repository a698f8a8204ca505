"""
An infinitely wide network reads digits
=======================================

Networks with infinitely many units in each layer, trained to the end by gradient descent, are on
average one formula: :math:`f(x_*) = \\Theta_{*t}\\, \\Theta_{tt}^{-1}\\, y`. Here it learns from 1,000
handwritten digits, and is asked about 1,000 others.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

data = np.load('../../../validation/data/mnist.npz')
x = data['images'][:2000].reshape(2000, 784) / 255
x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
labels = data['labels'][:2000].astype(int)
x_train, x_test, y_train = x[:1000], x[1000:], np.eye(10)[labels[:1000]] - .1

net = stax.serial(
    stax.Dense(512, W_std=1.2, b_std=.5), stax.Relu(),
    stax.Dense(512, W_std=1.2, b_std=.5), stax.Relu(),
    stax.Dense(10, W_std=1.2, b_std=.5))

# %%
# ``diag_reg`` is a little noise, in units of the kernel's mean diagonal. ``'nngp'`` trains the last
# layer alone, ``'ntk'`` all of them.

predict_fn = predict.gradient_descent_mse_ensemble(net, x_train, y_train, diag_reg=1e-4)
outputs = predict_fn(x_test=x_test, get=('nngp', 'ntk'))
right = {get: (getattr(outputs, get).argmax(1) == labels[1000:]).mean()
         for get in ('nngp', 'ntk')}
print(f'right: NNGP {right["nngp"]:.1%}, NTK {right["ntk"]:.1%}')
assert min(right.values()) > .91

# %%
# Which digits does it take for which?

taken_for = outputs.ntk.argmax(1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (labels[1000:], taken_for), 1)

ax = plt.subplots(layout='constrained')[1]
ax.imshow(np.log1p(confusion), cmap='Blues')
for (i, j), n in np.ndenumerate(confusion):
    ax.text(j, i, n or '', ha='center', va='center',
            color='white' if n > 30 else 'black')
ax.set(xticks=range(10), yticks=range(10), xlabel='taken for', ylabel='digit',
       title=f'NTK, 1,000 digits to learn from: {right["ntk"]:.1%} of 1,000 are right')
plt.show()
