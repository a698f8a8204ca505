"""
How much noise? Three answers from one decomposition
====================================================

The noise of the targets is a number one has to choose. Its evidence knows the training set alone,
so does leaving one out; the error on a test set is what one would like to know.
``ridge_sweep`` has all three for many values at the price of one eigendecomposition.
"""
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes

from ntref import predict, stax

x, y = load_diabetes(return_X_y=True, scaled=False)
x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
x_train, y_train, x_test, y_test = x[:200], y[:200], x[200:], y[200:]

net = stax.serial(stax.Dense(1, 1.5, .3), stax.Relu(), stax.Dense(1, 1.5, .3),
                  stax.Relu(), stax.Dense(1))
k, k_test = net.kernel_fn(x_train, get='nngp'), net.kernel_fn(x_test, x_train, 'nngp')
noise = np.geomspace(1e-3, 10, 60)
sweep = predict.ridge_sweep(k, y_train, noise, k_test)

# %%
evidence = sweep.log_marginal_likelihood
left_out = np.sqrt(np.mean((sweep.leave_one_out.mean - y_train) ** 2, 1))
test = np.sqrt(np.mean((sweep.mean - y_test) ** 2, 1))

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout='constrained')
left.semilogx(noise, evidence)
left.plot(noise[evidence.argmax()], evidence.max(), 'o')
left.set(xlabel='diag_reg', ylabel='log evidence [nats]')
for error, style, name in ((left_out, '--', 'one left out'),
                           (test, '-', '242 other patients')):
    line, = right.semilogx(noise, error, style, label=name)
    right.plot(noise[error.argmin()], error.min(), 'o', color=line.get_color())
right.set(xlabel='diag_reg', ylabel='error, in deviations of the target')
right.legend()
plt.show()

# %%
chosen = {'evidence': evidence.argmax(), 'leaving one out': left_out.argmin(),
          'test set': test.argmin()}
for name, i in chosen.items():
    print(f'{name}: diag_reg {noise[i]:.2f}, test error {test[i]:.3f}')
assert max(test[i] for i in chosen.values()) < 1.03 * test.min()
