"""
Ten images that do for five hundred
===================================

Kernel regression needs its training set for every prediction. *Kernel inducing points*
(:cite:t:`nguyen2021`) are a few images that are learnt so that regression from them fits all
others: gradient descent on the pixels, through the kernel, by autograd.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from autograd import grad
from autograd.misc.optimizers import adam
from sklearn.datasets import load_digits

from ntref import predict, stax

images, digit = load_digits(return_X_y=True)
images = (images - images.mean()) / images.std()
x, x_test, labels, test_labels = images[:500], images[500:], digit[:500], digit[500:]
targets, y = np.eye(10)[labels] - .1, np.eye(10) - .1

net = stax.serial(stax.Dense(1, 2 ** .5, .1), stax.Relu(), stax.Dense(1, 2 ** .5, .1))


def outputs(support, x):
    """Of the network trained to the end on one image of each class."""
    trained = predict.gradient_descent_mse(net.kernel_fn(support, None, 'ntk'), y,
                                           diag_reg=1e-6)
    return trained(None, 0., 0., net.kernel_fn(x, support, 'ntk'))[1]


def accuracy(support):
    return (outputs(support, x_test).argmax(1) == test_labels).mean()


# %%
# The images to begin with are the first of each class. The loss is that on all 500.


def loss(support, step):
    return np.mean((outputs(support, x) - targets) ** 2)


first = x[[np.flatnonzero(labels == c)[0] for c in range(10)]]
learnt = adam(grad(loss), first, num_iters=80, step_size=.05)
before, after = accuracy(first), accuracy(learnt)
print(f'{len(x_test)} other digits: {before:.1%} with ten images, {after:.1%} with ten learnt ones')
assert after > before + .2 and after > .85

# %%
figure, axes = plt.subplots(2, 10, figsize=(10, 2.4), layout='constrained')
for row, support in zip(axes, (first, learnt)):
    for ax, image in zip(row, support):
        ax.imshow(image.reshape(8, 8), cmap='gray')
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel(f'first\n{before:.0%}')
axes[1, 0].set_ylabel(f'learnt\n{after:.0%}')
figure.suptitle(f'ten images to learn from, accuracy on {len(x_test)} others')
plt.show()
