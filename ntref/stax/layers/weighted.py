"""The base class of layers with weights: parameterizations, and what weights do to a state."""
from ...arguments import as_number, suggestion
from ...arrays import exact, root_like
from ..layer import Layer

__all__ = ['Weighted']

PARAMETERIZATIONS = 'ntk', 'standard'


class Weighted(Layer, abstract=True):
    """Base of layers with weights: z = sigma_w W h / sqrt(N) + sigma_b b for N inputs.

    With 'standard', z = W h / sqrt(s[0]) + b, and the scales of the weights and biases are part of W and b.
    """
    # in LaTeX: the factor of the weights, the sum over inputs, the position of an output, what follows
    weights_formula, inputs_formula, at_formula, more_formula = r'\sigma_w^2', '{}', '', ''
    W_std: float
    b_std: float | None
    parameterization: str
    s: tuple

    def __post_init__(self):
        for name in ('W_std', 'b_std'):
            if shape := getattr(getattr(self, name), 'shape', ()):
                raise TypeError(
                    f'{self.name}: {name} is expected to be a number, got an array of shape {shape}: a layer belongs '
                    'to one network. For a grid of them call the dual of the nonlinearity with arrays, as in '
                    'stax.Erf().dual(Pair.same(q)); docs/theory/dense.md#phase-diagrams.')
        super().__post_init__()
        object.__setattr__(self, 'parameterization', str(self.parameterization).lower())
        if not isinstance(self.s, (tuple, list)):
            raise TypeError(f'{self.name}: expected s to be two numbers > 0, got {self.s!r:.100}.')
        object.__setattr__(self, 's', tuple(as_number(n, f'{self.name}: s') for n in self.s))
        if self.parameterization not in PARAMETERIZATIONS:
            raise ValueError(
                f"{self.name}: expected parameterization 'ntk' or 'standard', got "
                f"{self.parameterization!r:.100}.{suggestion(self.parameterization, PARAMETERIZATIONS)}")
        if len(self.s) != 2 or not all(n > 0 for n in self.s):
            raise ValueError(f'{self.name}: expected s to be two numbers > 0, got {self.s!r}.')

    @property
    def formula(self):
        """What the weights make of K and Theta, in LaTeX."""
        w, at = self.weights_formula, self.at_formula
        K, Theta = map(self.inputs_formula.format, ('K', r'\Theta'))
        has_bias = self.b_std is not None
        own = f'K_+{at}'
        if self._is_standard:
            own = f'{"n" if self.s[0] == 1 else "n / s_0"} {K}' + ' + 1' * has_bias
        return (rf'K_+{at} = {w} {K}' + r' + \sigma_b^2' * has_bias
                + rf',\quad \Theta_+{at} = {own} + {w} {Theta}' + self.more_formula)

    @property
    def _is_standard(self):
        return self.parameterization == 'standard'

    def _widened(self, n):
        """Return the number of channels of the output of the finite network, where n are asked for."""
        return int(n * self.s[1]) if self._is_standard else n

    def _check_channels(self, signal):
        """Raise ValueError if the input has no channels."""
        if signal.channels == 0:
            raise ValueError(
                f'expected at least one channel on axis {signal.axes.channel}, got shape '
                f'{signal.shape}.')

    def _drawn(self, rng, shape, n, bias_shape):
        """Draw W of `shape` for n inputs, and b (or () without a bias)."""
        w = self.W_std / (n / self.s[0]) ** .5 if self._is_standard else 1.
        W = w * rng.standard_normal(shape)
        if self.b_std is None:
            return W, ()
        return W, (self.b_std if self._is_standard else 1.) * rng.standard_normal(bias_shape)

    def _scaled(self, Wh, b, n):
        """Return z, computed from the product W h over n inputs and the bias b."""
        if self._is_standard:
            z = Wh / root_like(self.s[0], Wh)
            return z if self.b_std is None else z + b
        z = self.W_std / root_like(n, Wh) * Wh
        return z if self.b_std is None else z + self.b_std * b

    def _affine(self, k, sums=None, total=None, taps=1):
        """Return the next `Kernel`, with K' = w sum K + b,  Theta' = K' + w sum Theta.

        The sums are over `taps` inputs: `sums` is that of a Pair, `total` that of an array.
        """
        w = self.W_std ** 2 / taps
        b = 0 if self.b_std is None else self.b_std ** 2
        n = exact(float(k.signals[0].channels), k.like) / self.s[0]
        own = (n, self.b_std is not None) if self._is_standard else None
        return k.affine(w, b, own, sums, total)
