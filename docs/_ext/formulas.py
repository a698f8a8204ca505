r"""The formula at the head of each entry of the reference, in LaTeX.

Layers state theirs (`Layer.formula`, what `net.explain` shows); what the finite network does is beside it here. Other
names have theirs here, or a formula in their docstring.
"""
import inspect

from ntref import stax

ARGUMENTS = {
    'Dense': (1, 1., 1.), 'Conv': (1, (3,), None, 'SAME', 1., 1.), 'ConvLocal': (1, (3,), None, 'SAME', 1., 1.),
    'ConvTranspose': (1, (3,), None, 'SAME', 1., 1.), 'GlobalSelfAttention': (1, 1, 1, 1), 'AvgPool': ((2,),),
    'SumPool': ((2,),), 'ImageResize': ((1,), 'nearest'), 'DotGeneral': (), 'Aggregate': (1, 0), 'FanOut': (2,),
    'Hermite': (2,), 'Monomial': (2,), 'RectifiedMonomial': (2,), 'Polynomial': ((0., 1.),), 'LeakyRelu': (.1,),
    'ABRelu': (0., 1.), 'Dropout': (.5,), 'Index': ((0,),), 'serial': (stax.Identity(),), 'LayerNorm': (),
    'parallel': (stax.Identity(),), 'repeat': (stax.Identity(), 2), 'Elementwise': (abs,), 'ElementwiseNumerical': (abs, 1)}
"""Arguments of layers that cannot do without."""

NETWORKS = {
    'FanOut': r'h_i = h', 'FanInSum': r'h_+ = \sum_i h_i', 'FanInProd': r'h_+ = \prod_i h_i',
    'FanInConcat': r'h_+ = (h_1, h_2, \ldots)', 'Identity': 'h_+ = h', 'DotGeneral': r'h_+ = c\,h',
    'ConvLocal': r'z_i = \frac{\sigma_w}{\sqrt{n k}} \sum_a W_{i a} h_{i + a} + \sigma_b \beta_i',
    'ConvTranspose': r'z_i = \frac{\sigma_w}{\sqrt{n k}} \sum_{a, j:\, s j + a = i} W_a h_j + \sigma_b \beta',
    'AvgPool': r'h_+(i) = \frac1k \sum_a h(i + a)', 'SumPool': r'h_+(i) = \sum_a h(i + a)',
    'GlobalAvgPool': r'h_+ = \frac1p \sum_i h(i)', 'GlobalSumPool': r'h_+ = \sum_i h(i)',
    'Flatten': r'h_+ = (h(1), \ldots, h(p))', 'Index': r'h_+(i) = h(x_i)', 'ImageResize': r'h_+ = R\,h',
    'Aggregate': r'h_+ = P^T h', 'Dropout': r'h_+ = \frac{m}{r}\,h,\quad m \sim \mathrm{Bernoulli}(r)'}
"""What layers do in a finite network, where neither their formula nor their docstring has it."""

OTHERS = {}


def layer_formula(name):
    """Return the formula of a layer, with what it does in a finite network; '' if there is none."""
    made = getattr(stax, name)
    layer = made(*ARGUMENTS.get(name, ())) if is_layer(made) or name in ARGUMENTS else None
    stated = [NETWORKS.get(name, ''), getattr(layer, 'formula', '')]
    return r',\quad '.join(part for part in stated if part)


def is_layer(made):
    return inspect.isclass(made) and issubclass(made, stax.Layer) and made is not stax.Layer


def has_formula(thing):
    """Whether a docstring has a formula of its own, before it lists arguments."""
    return any(mark in (inspect.getdoc(thing) or '').partition('\nParameters')[0] for mark in ('.. math::', ':math:'))


def head(module, name, thing):
    """Return the formula at the head of the entry of a public name; '' if its docstring has one, or it needs none."""
    if has_formula(thing):
        return ''
    return OTHERS.get(f'{module}.{name}') or (layer_formula(name) if module == 'ntref.stax' else '')
