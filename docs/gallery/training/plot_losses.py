"""
Any loss, with momentum
=======================

Only the squared loss has a closed form. For any other, ``gradient_descent`` solves the equation
:math:`\\dot f = -\\Theta\\, \\partial L / \\partial f` of the outputs; with momentum it is one of
second order. Here is cross-entropy on 100 digits, with and without.
"""
import autograd.numpy as np
import matplotlib.pyplot as plt
from sklearn.datasets import load_digits

from ntref import predict, stax


def cross_entropy(f, y):
    f = f - np.max(f, axis=-1, keepdims=True)
    return -np.mean(np.sum(y * (f - np.log(np.sum(np.exp(f), axis=-1, keepdims=True))),
                           axis=-1))


images, digit = load_digits(return_X_y=True)
x = (images - images.mean()) / images.std()
x_train, x_test, y_train, y_test = x[:100], x[100:400], np.eye(10)[digit[:100]], digit[100:400]
net = stax.serial(stax.Dense(512, 1.5, .1), stax.Relu(), stax.Dense(10))
k, k_test = net.kernel_fn(x_train, None, 'ntk'), net.kernel_fn(x_test, x_train, 'ntk')

# %%
# A time of 1 is a step of gradient descent at this rate. Outputs begin at 0.

times = np.geomspace(1, 1000, 40)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
losses = {}
for momentum, style in ((None, '-'), (.9, '--')):
    predict_fn = predict.gradient_descent(cross_entropy, k, y_train, .1, momentum)
    train, test = predict_fn(times, 0., 0., k_test)
    losses[momentum] = np.array([cross_entropy(f, y_train) for f in train])
    left.loglog(times, losses[momentum], style, label=f'momentum {momentum or 0}')
    right.semilogx(times, (test.argmax(-1) == y_test).mean(-1), style)
left.set(xlabel='steps at rate 0.1', ylabel='cross-entropy on the training set [nats]')
right.set(xlabel='steps at rate 0.1', ylabel='accuracy on 300 other digits')
left.legend()
plt.show()

# %%
# A momentum of 0.9 is worth a rate that is 1 / (1 - 0.9) = 10 times as large: the loss that takes
# it 100 steps takes 1,000 without.

late, early = losses[None][-1], np.interp(100, times, losses[.9])
print(f'without momentum, 1,000 steps: {late:.4f}; with, 100 steps: {early:.4f}')
assert .7 < early / late < 1.4
