"""
Is 80 % right in 80 of 100 cases?
=================================

A probability is *calibrated* if it is true as often as it says. Three classifiers learn from 300
digits; 1,000 others are sorted into bins by the confidence in the class that was chosen. On the
diagonal confidence and accuracy are the same.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref.estimators import NNGPClassifier, NTKClassifier

data = np.load('../../../validation/data/mnist.npz')
x = data['images'][:1300, ::2, ::2].reshape(1300, 196) / 255.
y = data['labels'][:1300]
models = {'NNGP, Laplace': NNGPClassifier(method='laplace'),
          'NNGP, regression with a temperature': NNGPClassifier(method='regression'),
          'NTK, regression with a temperature': NTKClassifier(method='regression')}

# %%
ax = plt.subplots(layout='constrained')[1]
bins, errors, cautious = np.array([0, .3, .5, .7, .85, .95, 1.]), {}, {}
for (name, model), style in zip(models.items(), ('o-', 's--', 'D-.')):
    p = model.fit(x[:300], y[:300]).predict_proba(x[300:])
    confidence, right = p.max(1), model.classes_[p.argmax(1)] == y[300:]
    inside = [(low < confidence) & (confidence <= high)
              for low, high in zip(bins, bins[1:])]
    means = np.array([(confidence[i].mean(), right[i].mean(), i.mean()) for i in inside
                      if i.any()])
    errors[name] = (abs(means[:, 0] - means[:, 1]) * means[:, 2]).sum()
    ax.plot(means[:, 0], means[:, 1], style, label=f'{name}: {right.mean():.1%} right')
    print(f'{name}: off by {errors[name]:.3f} on average; '
          f'says {confidence.mean():.0%}, is right in {right.mean():.0%}')
    cautious[name] = right.mean() - confidence.mean()
ax.plot([0, 1], [0, 1], ':', color='gray')
ax.set(xlabel='mean confidence', ylabel='accuracy', xlim=(0, 1), ylim=(0, 1.02))
ax.legend()
plt.show()

# %%
# Laplace's approximation is too cautious, above the diagonal: its digits are right more often
# than it says.

assert cautious['NNGP, Laplace'] > .2
assert errors['NNGP, Laplace'] > 2 * errors['NNGP, regression with a temperature']
