"""
Why pooling matters on images
=============================

Convolutions alone do not make a kernel that sees shapes: without a pool each position has weights
of its own at the end, and a digit that is shifted is another image. The average over positions
that ends Myrtle networks (:cite:t:`shankar2020`) does not care where the digit is. Three networks
learn from 60 digits, and are asked about others that are shifted.
"""
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from ntref import predict, stax

x, labels = load_digits(return_X_y=True)
x = np.pad(x.reshape(-1, 8, 8, 1)[:90] / 16,
           ((0, 0), (1, 1), (0, 2), (0, 0)))   # 10 x 10
x_train, x_test = x[:60], x[60:]
y_train, labels = np.eye(10)[labels[:60]] - .1, labels[60:90]


def convolutions(last):
    return stax.serial(stax.Conv(1, (5, 5), (2, 2), 'SAME', 2 ** .5, .05), stax.Relu(),
                       stax.Conv(1, (3, 3), (1, 1), 'SAME', 2 ** .5, .05), stax.Relu(),
                       last, stax.Dense(1))


nets = {'no convolutions': stax.serial(
            stax.Flatten(), *[stax.Dense(1, 2 ** .5, .05), stax.Relu()] * 2,
            stax.Dense(1)),
        'convolutions': convolutions(stax.Flatten()),
        'convolutions, average': convolutions(stax.GlobalAvgPool())}

# %%
# The first convolution has stride 2, so that a shift by 2 pixels is one by a whole position. All
# test digits at once, shifted to the right by 0, 1 and 2 pixels.

shifted = np.concatenate([np.roll(x_test, shift, 2) for shift in range(3)])
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
left.imshow(np.hstack([shifted[30 * shift + 3, :, :, 0] for shift in range(3)]),
            cmap='gray_r')
left.set(xticks=[5, 15, 25], xticklabels=[0, 1, 2], yticks=[], xlabel='shift [pixels]')
accuracy = {}
for (name, net), style in zip(nets.items(), ('o:', 's--', 'D-')):
    predict_fn = predict.gp_inference(net.kernel_fn(x_train, get='nngp'), y_train,
                                      diag_reg=1e-4)
    taken_for = predict_fn('nngp', net.kernel_fn(shifted, x_train, 'nngp')).argmax(1)
    accuracy[name] = (taken_for.reshape(3, 30) == labels).mean(1)
    right.plot(accuracy[name], style, label=name)
right.set(xticks=[0, 1, 2], xlabel='shift [pixels]', ylabel='accuracy on 30 others',
          ylim=(0, 1))
right.legend()
plt.show()

# %%
for name, a in accuracy.items():
    print(f'{name}: {a[0]:.0%}, shifted by 2 pixels {a[2]:.0%}')
assert accuracy['convolutions, average'][2] > accuracy['convolutions'][2] + .3
