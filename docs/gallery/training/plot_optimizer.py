"""
Training a finite network with an optimizer
===========================================

``apply_fn`` is a plain function of parameters and inputs, and its parameters are nested tuples of
arrays: any optimizer will do. Here it is Adam of autograd, on minibatches of digits, and beside
it the infinite network, which needs no steps.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from autograd.misc.optimizers import adam

from ntref import predict, stax

data = np.load('../../../validation/data/mnist.npz')
x = data['images'][:2000].reshape(2000, 784) / 255
x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
labels = data['labels'][:2000].astype(int)
x_train, x_test, y_train = x[:1000], x[1000:], np.eye(10)[labels[:1000]] - .1

init_fn, apply_fn, kernel_fn = stax.serial(
    stax.Dense(128, 2 ** .5, .1), stax.Relu(), stax.Dense(10))

# %%
# Adam calls the gradient with the parameters and the number of the step, which picks the batch.
# (Beware of ``sgd`` beside it: it has a momentum of 0.9 unless ``mass=0`` is given.)

order = np.random.default_rng(0).permutation(20 * 1000) % 1000


def loss(params, step):
    batch = order[50 * step:50 * (step + 1)]
    return np.mean((apply_fn(params, x_train[batch]) - y_train[batch]) ** 2) / 2


def accuracy(params):
    return (apply_fn(params, x_test).argmax(1) == labels[1000:]).mean()


steps, accuracies = [], []


def watch(params, step, gradient):
    if step % 20 == 0:
        steps.append(step)
        accuracies.append(accuracy(params))


_, params = init_fn(0, x_train.shape)
params = adam(grad(loss), params, watch, num_iters=301, step_size=.05)

# %%
infinite = predict.gradient_descent_mse_ensemble(kernel_fn, x_train, y_train,
                                                 diag_reg=1e-3)
right = (infinite(x_test=x_test, get='ntk').argmax(1) == labels[1000:]).mean()

ax = plt.subplots(layout='constrained')[1]
ax.plot(steps, accuracies, 'o-', ms=4, label='network of width 128, Adam')
ax.axhline(right, color='C1', ls='--', label='infinite network, trained to the end')
ax.set(xlabel='steps, 50 digits each', ylabel='accuracy on 1,000 other digits',
       ylim=(0, 1))
ax.legend(loc='lower right')
plt.show()

# %%
print(f'network {accuracies[-1]:.1%}, infinite network {right:.1%}')
assert accuracies[-1] > .8 and right > .9
