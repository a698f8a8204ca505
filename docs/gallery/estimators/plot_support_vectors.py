"""
A network in a support vector machine
=====================================

``NetworkKernel`` is a kernel for whatever in scikit-learn takes one. With the tangent kernel in a
support vector machine the decision is made by a few of the points, those near the border. The
same machine with the usual RBF kernel stands beside it.
"""
import matplotlib.pyplot as plt
from sklearn.datasets import make_circles
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.svm import SVC

from ntref import stax
from ntref.estimators import NetworkKernel

X, y = make_circles(120, noise=.12, factor=.5, random_state=0)
X_test, y_test = make_circles(1000, noise=.12, factor=.5, random_state=1)
net = stax.serial(*[stax.Dense(1, 1.5, .5), stax.Relu()] * 2, stax.Dense(1))

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout='constrained')
scores = {}
kernels = {'NTK, 2 layers': NetworkKernel(net, get='ntk'), 'RBF': 'rbf'}
for ax, (name, kernel) in zip(axes, kernels.items()):
    machine = SVC(kernel=kernel, C=10).fit(X, y)
    scores[name] = machine.score(X_test, y_test)
    DecisionBoundaryDisplay.from_estimator(machine, X, response_method='predict',
                                           cmap='PuOr', alpha=.4,
                                           grid_resolution=60, ax=ax)
    for c, marker in enumerate('os'):
        ax.plot(*X[y == c].T, marker, ms=4, color=('C1', 'C4')[c], label=f'class {c}')
    ax.plot(*machine.support_vectors_.T, 'o', ms=9, mfc='none', mec='black',
            label='support vectors')
    ax.set(title=f'{name}: {scores[name]:.1%} right, {len(machine.support_)} support vectors',
           xlabel='$x_1$', ylabel='$x_2$')
axes[0].legend(loc='lower left')
plt.show()

# %%
print({name: f'{score:.1%}' for name, score in scores.items()},
      f'of {len(y_test)} other points')
assert scores['NTK, 2 layers'] > .95
