"""What tests of layers with positions share: inputs, and the layers before the one that is tested."""
from ntref.stax import Conv, Erf, serial

WB = dict(W_std=1.3, b_std=.4)


def before(m):
    """Layers whose output has covariances between positions, and a tangent kernel; m spatial axes."""
    return serial(Conv(4, (2,) * m, padding='SAME', **WB), Erf())


def draw(rng, *positions, n=(3, 2), channels=2):
    """x1 and x2, of n inputs each."""
    return [rng.standard_normal((m, *positions, channels)) for m in n]
