"""
The band knows where the errors are
===================================

The variance of the posterior depends on inputs alone, on no target. Nevertheless it says where to
expect mistakes: digits of large variance are those unlike all that have been seen.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

data = np.load('../../../validation/data/mnist.npz')
images, labels = data['images'][:2500], data['labels'][:2500].astype(int)
x = images.reshape(2500, 784) / 255
x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
n = 500

net = stax.serial(*[stax.Dense(1, 1.3, .3), stax.Relu()] * 3, stax.Dense(1, 1.3, .3))
k = net.kernel_fn(x, get='nngp')
predict_fn = predict.gp_inference(k[:n, :n], np.eye(10)[labels[:n]] - .1, diag_reg=1e-3)
mean, covariance = predict_fn('nngp', k[n:, :n], k[n:, n:])
sd, wrong = np.diagonal(covariance) ** .5, mean.argmax(1) != labels[n:]

# %%
# The 2,000 test digits in ten groups of 200, by their standard deviation.

groups = np.array_split(np.argsort(sd), 10)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
share = np.array([wrong[g].mean() for g in groups])
left.errorbar([sd[g].mean() for g in groups], share, (share * (1 - share) / 200) ** .5,
              fmt='o-',
              capsize=3)
left.set(xlabel='standard deviation of the posterior [output]',
         ylabel='share of mistakes',
         ylim=(0, None))
strange = np.concatenate([groups[0][:6], groups[-1][-6:]])
right.imshow(np.vstack([np.hstack(images[n + strange[:6]]),
                        np.hstack(images[n + strange[6:]])]),
             cmap='gray_r')
right.set(xticks=[], yticks=[14, 42], yticklabels=['smallest', 'largest'],
          title='deviation')
plt.show()

# %%
print(f'mistakes: {share[0]:.1%} in the first group, {share[-1]:.1%} in the last')
assert share[-1] > 4 * share[0]
