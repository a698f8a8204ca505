r"""The formula at the head of each entry of the reference, in LaTeX.

Layers state theirs (`Layer.formula`, what `net.explain` shows); what the finite network does is beside it here. Other
names have theirs here, or a formula in their docstring.
"""
import inspect

from ntref import stax

MODULES = [f'ntref{name}' for name in (
    '', '.stax', '.predict', '.empirical', '.engine', '.oracle', '.estimators', '.plot', '.quadrature', '.recursion',
    '.testing', '.duals', '.cov', '.classic', '.types')]
"""The public modules."""

ARGUMENTS = {
    'Dense': (1, 1., 1.), 'Conv': (1, (3,), None, 'SAME', 1., 1.), 'ConvLocal': (1, (3,), None, 'SAME', 1., 1.),
    'ConvTranspose': (1, (3,), None, 'SAME', 1., 1.), 'GlobalSelfAttention': (1, 1, 1, 1), 'AvgPool': ((2,),),
    'SumPool': ((2,),), 'ImageResize': ((1,), 'nearest'), 'DotGeneral': (), 'Aggregate': (1, 0), 'FanOut': (2,),
    'Hermite': (2,), 'Monomial': (2,), 'RectifiedMonomial': (2,), 'Polynomial': ((0., 1.),), 'LeakyRelu': (.1,),
    'ABRelu': (0., 1.), 'Dropout': (.5,), 'Index': ((0,),), 'serial': (stax.Identity(),), 'LayerNorm': (),
    'parallel': (stax.Identity(),), 'repeat': (stax.Identity(), 2), 'Elementwise': (abs,),
    'ElementwiseNumerical': (abs, 1)}
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

OTHERS = {
    # finite networks
    'ntref.empirical_ntk_fn': r"\Theta(x, x') = J(x)\,J(x')^T,\quad J = \frac{\partial f}{\partial \theta}",
    'ntref.empirical_nngp_fn': r"K(x, x') = f(x)\,f(x')^T",
    'ntref.linearize': r"f_\mathrm{lin}(\theta') = f(\theta) + \frac{\partial f}{\partial \theta} (\theta' - \theta)",
    'ntref.taylor_expand':
        r"f_n(\theta') = \sum_{k=0}^n \frac{1}{k!} \frac{d^k}{dt^k} f(\theta + t (\theta' - \theta))\Big|_{t=0}",
    'ntref.batch': r'K = (K_{i j}),\quad K_{i j} = k(x_i, x_j)\text{ for blocks }x_i, x_j\text{ of inputs}',
    'ntref.Kernel': r"K = E[h h'],\quad \Theta,\quad q = E[h^2],\quad q' = E[h'^2],\quad g = E(h - h')^2,"
                    r"\quad A = \sqrt{q q' - K^2}",
    # predictions
    'ntref.predict.gp_inference_iterative':
        r'E f_\ast = K_{\ast t} a,\quad A a = y,\quad A = K_{t t} + \mathrm{reg}',
    # pictures
    'ntref.plot.prior': r'f \sim N(0, K)',
    'ntref.plot.posterior': r'E f_\ast \pm 2 \sqrt{\mathrm{var} f_\ast}',
    'ntref.plot.training': r'E f(t) \pm 2 \sqrt{\mathrm{var} f(t)}',
    'ntref.plot.training_movie': r'E f(t) \pm 2 \sqrt{\mathrm{var} f(t)}',
    'ntref.plot.kernel_against_angle': r'\frac{K(\theta)}{K(0)},\quad \frac{\Theta(\theta)}{\Theta(0)}',
    'ntref.plot.depth': r"\theta_l = \arccos \frac{K_l}{\sqrt{q_l q_l'}}",
    'ntref.plot.phase_diagram': r"\chi = \sigma_w^2 E[\phi'(u)^2],\quad u \sim N(0, q^\ast),"
                                r"\quad q^\ast = \sigma_w^2 E[\phi(u)^2] + \sigma_b^2",
    'ntref.plot.heatmap': r'K_{i j} = K(x_i, x_j)',
    'ntref.plot.spectrum': r'K v_i = \lambda_i v_i,\quad \lambda_1 \ge \lambda_2 \ge \ldots',
    'ntref.plot.width_convergence': r'\frac{\Vert K_n - K \Vert_F}{\Vert K \Vert_F} \sim \frac{1}{\sqrt n}',
    # numbers to compare with
    'ntref.oracle.certify': r'|K - \tilde K| \le \delta \le 10^{-\mathrm{digits}} |K|',
    'ntref.quadrature.mean': r'E[f(u)],\quad u \sim N(0, q)',
    'ntref.quadrature.around': r'E[f(c + s y)],\quad y \sim N(0, 1)',
    'ntref.quadrature.jumps': r'f(c^+) - f(c^-)',
    'ntref.duals.step': r"\phi(u) = 1_{u \ge 0},\quad K_+ = \frac{\pi - \theta}{2 \pi},\quad \dot\kappa = 0",
    'ntref.duals.gelu':
        r"\phi(u) = u\,\Phi(u),\quad K_+ = \frac K4 + \frac{1}{2 \pi} \Big[\frac{K^2 + q q' D}{(1 + q)(1 + q') \sqrt D}"
        r" + K\,\mathrm{atan2}(K, \sqrt D)\Big],\quad D = (1 + q)(1 + q') - K^2",
    'ntref.duals.erf':
        r"\phi(u) = a\,\mathrm{erf}(b u) + c,\quad K_+ = \frac{2 a^2}{\pi}\,\mathrm{atan2}(2 b^2 K, \sqrt D) + c^2,"
        r"\quad \dot\kappa = \frac{4 a^2 b^2}{\pi \sqrt D},\quad D = 1 + 2 b^2 (q + q') + 4 b^4 A^2",
    'ntref.duals.gabor':
        r"\phi(u) = \exp(-u^2) \sin u,\quad K_+ = \frac{1}{2 \sqrt D}"
        r" \exp\Big(-\frac12 - \frac{2 K - 1 - q - q'}{2 D}\Big) (\exp(2 K / D) - 1),"
        r"\quad D = 1 + 2 (q + q') + 4 A^2",
    'ntref.duals.polynomial':
        r"\phi(u) = \sum_k c_k u^k,\quad K_+ = \sum_l R_l(q) R_l(q') \frac{K^l}{l!},"
        r"\quad R_l(q) = \sum_i c_{2 i + l} \frac{(2 i + l)!}{2^i i!} q^i",
    'ntref.duals.Pair': r"(u, v) \sim N\Big(0, \begin{pmatrix} q & K \\ K & q' \end{pmatrix}\Big)",
    'ntref.duals.Cov': r"K_+ = E[\phi(u)\,\phi(v)],\quad \dot\kappa = E[\phi'(u)\,\phi'(v)]",
    # contracts
    'ntref.testing.empirical_ntk': r"\Theta(x, x') = J(x)\,J(x')^T",
    'ntref.testing.second_moment': r"\frac1n \sum_c h_c h_c'",
    'ntref.testing.scale': r"\sqrt{q q'}",
    # before `predict`
    'ntref.classic.gradient_descent_predictor':
        r'\frac{df}{dt} = -\Theta \frac{\partial L}{\partial f}',
    'ntref.classic.ntk': r"\Theta(x, x') = J(x)\,J(x')^T"}
"""Formulas of names that are no layers, by their module and name."""

DUALS = {'abrelu': 'ABRelu', 'rectified_monomial': 'RectifiedMonomial', 'sign': 'Sign', 'sin': 'Sin', 'rbf': 'Rbf',
         'gaussian': 'Gaussian', 'exp': 'Exp', 'exp_normalized': 'ExpNormalized'}
"""Functions of `ntref.duals` with the formula of a layer."""


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
    if module == 'ntref.duals' and name in DUALS:
        return layer_formula(DUALS[name])
    return OTHERS.get(f'{module}.{name}') or (layer_formula(name) if module == 'ntref.stax' else '')
