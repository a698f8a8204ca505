"""
Hyper-parameters by their evidence
==================================

Which weights, which bias, how much noise? The infinite network is a Gaussian process, and
:math:`\\log p(y)` says how likely the targets are under it before anything is trained.
``fit_hyperparameters`` climbs it by its exact gradient. No data are held out.
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import plot, predict, stax

rng = np.random.default_rng(1)
x_train = np.sort(rng.uniform(-2, 2, 40))[:, None]
y_train = np.sin(2 * x_train[:, 0]) + .2 * rng.standard_normal(40)


def net_fn(W_std, b_std):
    return stax.serial(stax.Dense(1, W_std, b_std), stax.Erf(), stax.Dense(1, W_std))


start = {'W_std': 1., 'b_std': 1., 'diag_reg': .5}
fit = predict.fit_hyperparameters(net_fn, x_train, y_train, start,
                                  diag_reg_absolute_scale=True)

# %%
# The noise that was put in has a deviation of 0.2.

found = fit.hyperparameters
print({name: round(float(value), 3) for name, value in found.items()})
print(f'log p: {fit.trace[0][1]:.1f} at the start, {fit.log_marginal_likelihood:.1f} at the end')
print(f'deviation of the noise: {found["diag_reg"] ** .5:.2f}')
assert .15 < found['diag_reg'] ** .5 < .25

# %%
# The posterior at the start, and with what was found. The band is that of the function.

x = np.linspace(-3, 3, 121)[:, None]
figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout='constrained')
for ax, title, values in zip(axes, ('start', 'largest evidence'), (start, found)):
    kernel_fn = net_fn(values['W_std'], values['b_std']).kernel_fn
    predict_fn = predict.gp_inference(kernel_fn(x_train, get='nngp'), y_train,
                                      values['diag_reg'],
                                      diag_reg_absolute_scale=True)
    gaussian = predict_fn('nngp', kernel_fn(x, x_train, 'nngp'),
                          kernel_fn(x, get='nngp'))
    plot.posterior(gaussian, x, ax=ax).set_title(title)
    ax.plot(x_train, y_train, 'k.', label='targets')
    ax.plot(x, np.sin(2 * x), ':', color='gray', label='sin 2x')
    ax.set_ylim(-2.2, 3)
    ax.legend(loc='upper center', ncols=3)
plt.show()
