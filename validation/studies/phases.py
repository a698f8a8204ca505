"""Order and chaos: how deep signals get, and what depth does to a Gaussian process (Schoenholz et al. 2017)."""
from typing import NamedTuple

import numpy

from .common import Section, canvas, digits, one_hot, save, table

QUICK = {'n': 40, 'w2': (.3, 1.05, 3.), 'b2': (.01, .4), 'depths': (1, 50), 'b2_of_depths': .01}

DEPTH = 50
REG = 1e-10                     # diag_reg, relative to the mean variance

TEXT = """
Fully connected networks with Erf: W_std² = σ_w², b_std² = σ_b². The map of variances has the fixed point q*, that of
correlations c*, where 1 - c shrinks by χ a layer: ξ = -1 / log χ is the depth that signals reach. ξ = ∞ on the
critical line (white), which separates order (left: c* = 1) from chaos (right: c* < 1). Accuracy: NNGP regression
(`gp_inference`, diag_reg = {reg:g}) on {n} digits, {n} others to test. Dashed in the right panel: 6 ξ.

{deepest}

**It shows** that ntref's kernels have the fixed points and the depth scales of mean field theory, and that deep
Gaussian processes classify in a band about the critical line. In chaos it ends at about 6 ξ; in order it goes on, since
there all differences shrink alike and float64 still holds them.
**It cannot show** that finite networks of this depth train there; nor that the information is gone elsewhere: it is in
ever smaller differences between entries, below the regularization and at last below eps of float64, so where accuracy
gets lost depends on both. MNIST in the papers is 28 x 28 with 50,000 images; this is 8 x 8 with {n}.
"""


class Row(NamedTuple):
    w2: float
    b2: float
    depth: int
    scale: float                # xi
    accuracy: float


# ------------------------------------------------------------------ mean field theory of Erf

def variance(w2, b2, q):
    """The variance q' after one layer; with c q in place of q in the arcsine's numerator, the covariance."""
    return covariance(w2, b2, q, 1.)


def covariance(w2, b2, q, c):
    return w2 * 2 / numpy.pi * numpy.arcsin(2 * c * q / (1 + 2 * q)) + b2


def fixed_point(w2, b2, layers=5000):
    """q* and c*, by iteration from q = 1 and c = 1/2."""
    q, c = 1., .5
    for _ in range(layers):
        q = variance(w2, b2, q)
    for _ in range(layers):
        c = covariance(w2, b2, q, c) / q
    return q, c


def growth(w2, q, c):
    """chi = sigma_w^2 E[phi'(u) phi'(v)]: of differences of correlations, near c."""
    return w2 * 4 / numpy.pi / ((1 + 2 * q) ** 2 - (2 * c * q) ** 2) ** .5


def depth_scale(w2, b2):
    """xi = -1 / log chi(c*)."""
    q, c = fixed_point(w2, b2)
    return -1 / numpy.log(numpy.minimum(growth(w2, q, c), 1 - 1e-9))


def critical_line(q):
    """(sigma_w^2, sigma_b^2) where chi(1) = 1, for the fixed point q."""
    w2 = numpy.pi / 4 * (1 + 4 * q) ** .5
    return w2, q - variance(w2, 0., q)


# ------------------------------------------------------------------ measured

def accuracies(x, labels, w2, b2, depths):
    """Of NNGP regression on the first half, tested on the second; the state is handed on from depth to depth."""
    from ntref import predict
    from ntref.stax import Dense, Erf, serial
    n, found, done = len(x) // 2, [], 0
    dense = Dense(x.shape[1], w2 ** .5, b2 ** .5)
    k = dense.kernel_fn(x, get=None)
    for depth in depths:
        for _ in range(depth - done):
            k = serial(Erf(), dense).kernel_fn(k)
        done = depth
        posterior = predict.gp_inference(k.nngp[:n, :n], one_hot(labels[:n]), diag_reg=REG)
        mean = posterior('nngp', k.nngp[n:, :n])
        found.append(float((mean.argmax(-1) == labels[n:]).mean()))
    return found


W2 = tuple(float(w) for w in numpy.linspace(.2, 3., 13))
B2 = 1e-3, .05, .1, .2, .3, .4, .5
DEPTHS = 1, 2, 3, 5, 8, 12, 18, 25, 35, 50, 70


def measure(n=100, w2=W2, b2=B2, depths=DEPTHS, b2_of_depths=.05):
    x, labels = digits(numpy.random.default_rng(0))
    x, labels = x[:2 * n], labels[:2 * n]
    sizes = [(w, b, depths if b == b2_of_depths else (DEPTH,)) for w in w2 for b in b2]
    return [Row(w, b, depth, float(depth_scale(w, b)), accuracy) for w, b, each in sizes
            for depth, accuracy in zip(each, accuracies(x, labels, w, b, each))]


def run(figure, n=100, b2_of_depths=.05, **sizes):
    rows = measure(n, b2_of_depths=b2_of_depths, **sizes)
    draw(rows, b2_of_depths, figure)
    deep = [r for r in rows if r.depth == DEPTH]
    groups = [(label, [r.accuracy for r in deep if low <= DEPTH / r.scale < high])
              for label, low, high in (('ξ > 50', 0, 1), ('50/6 < ξ ≤ 50', 1, 6), ('50/18 < ξ ≤ 50/6', 6, 18),
                                       ('ξ ≤ 50/18', 18, numpy.inf))]
    cells = [(label, len(a), f'{min(a):.2f}', f'{numpy.mean(a):.2f}', f'{max(a):.2f}') for label, a in groups if a]
    deepest = table((f'{DEPTH} layers, settings with', 'how many', 'lowest accuracy', 'mean', 'highest'), cells)
    return Section(
        'Order, chaos and depth',
        f'accuracy at {DEPTH} layers: high near the critical line, falling with ξ towards chance (0.1)',
        '; '.join(f'{label}: {mean}' for label, _, _, mean, _ in cells),
        TEXT.format(n=n, reg=REG, deepest=deepest))


def draw(rows, b2_of_depths, path):
    figure, axes = canvas(3, 3., width=8.)
    deep = {(r.w2, r.b2): r for r in rows if r.depth == DEPTH}
    w2, b2 = (sorted(set(values)) for values in zip(*deep))
    line = critical_line(numpy.linspace(1e-4, 3, 200))
    w = numpy.linspace(min(w2), max(w2), 60)
    b = numpy.linspace(min(b2), max(b2), 40)
    scales = depth_scale(w, b[:, None])
    shown = axes[0].pcolormesh(w, b, scales, cmap='cividis', norm='log', vmin=.5, vmax=100, shading='gouraud')
    figure.colorbar(shown, ax=axes[0], label='depth scale ξ (layers)', extend='both')
    shown = axes[1].pcolormesh(w2, b2, [[deep[i, j].accuracy for i in w2] for j in b2], cmap='cividis', vmin=0, vmax=1,
                               shading='nearest')
    for each, title in zip(axes, ('mean field theory', f'accuracy, {DEPTH} layers')):
        each.plot(*line, color='white', lw=2)
        each.set(xlabel='$σ_w^2$', ylabel='$σ_b^2$', xlim=(min(w2), max(w2)), ylim=(min(b2), max(b2)), title=title)
    slices = {(r.w2, r.depth): r.accuracy for r in rows if r.b2 == b2_of_depths}
    depths = sorted({depth for _, depth in slices})
    shown = axes[2].pcolormesh(w2, depths, [[slices[i, d] for i in w2] for d in depths], cmap='cividis', vmin=0,
                               vmax=1, shading='nearest')
    figure.colorbar(shown, ax=axes[1:], label='test accuracy (chance: 0.1)')
    axes[2].plot(w, 6 * depth_scale(w, b2_of_depths), color='white', ls='--', lw=2)
    axes[2].set(xlabel='$σ_w^2$', ylabel='layers', yscale='log', ylim=(min(depths), max(depths)),
                yticks=[d for d in (1, 3, 10, 30, 50)], yticklabels=['1', '3', '10', '30', '50'],
                title=f'accuracy, $σ_b^2$ = {b2_of_depths}')
    axes[2].minorticks_off()
    save(figure, path)
