"""The code that makes what the page shows."""
from .finite import STEPS
from .state import EDGE, State

__all__ = ['script']

WHOLE = """\
import numpy
from matplotlib import pyplot
from ntref import plot, predict, stax

phi = stax.{phi}
net = stax.serial(*[stax.Dense({width}, {W_std!r}, {b_std!r}), phi] * {depth},
                  stax.Dense(1, {W_std!r}, {b_std!r}))
x = numpy.array({x!r})[:, None]
y = numpy.array({y!r})[:, None]
grid = numpy.linspace({low!r}, {high!r}, 101)
figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout='constrained')

# After training: mean and band of infinitely many networks.
predict_fn = predict.gradient_descent_mse_ensemble(net, x, y, diag_reg={diag_reg!r})
plot.posterior(predict_fn, grid, {t}, {get!r}, ax=axes[0, 0])
{networks}
# Before training; the kernel against the angle; order and chaos.
plot.prior(net, grid, rng={seed}, ax=axes[0, 1])
plot.kernel_against_angle(net, get={get!r}, ax=axes[1, 0])
plot.phase_diagram(phi, ax=axes[1, 1])
axes[1, 1].plot({W_std!r}, {b_std!r}, 'o', color='black', markerfacecolor='white')
pyplot.show()
"""

NETWORKS = """
# Finite networks, by at most {steps} steps of gradient descent each.
from ntref.playground.finite import trained
for i in range({networks}):
    t, f = trained(net, x, y, grid[:, None], {t}, {get!r}, {diag_reg!r}, [{seed}, i])
    axes[0, 0].plot(grid, f[:, 0], color='black', linewidth=.6)
print(f'finite networks: trained to t = {{t:.3g}}')
"""


def script(state: State) -> str:
    """Return the text of a script that draws what the page shows."""
    x, y = (list(column) for column in zip(*state.points))
    given = vars(state) | {
        'x': x, 'y': y, 'low': -EDGE, 'high': EDGE, 'steps': STEPS,
        'phi': 'LeakyRelu(0.1)' if state.activation == 'LeakyRelu' else f'{state.activation}()',
        't': 'numpy.inf' if state.t == float('inf') else repr(state.t)}
    networks = NETWORKS.format(**given) if state.networks else ''
    return WHOLE.format(**given | {'networks': networks})
