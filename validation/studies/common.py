"""What the studies share: a section of the page, tables, slopes with their errors, training, data, figures."""
from typing import NamedTuple

import numpy

BLUE, ORANGE, GREEN, PINK, GREY = '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#555555'       # Okabe and Ito
MARKERS = 'osD^v'


class Section(NamedTuple):
    """A study on the page: its row in the first table, and what stands under its title (figure aside)."""
    title: str
    expected: str
    measured: str
    text: str


def table(header, rows):
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)


# ------------------------------------------------------------------ numbers

class Line(NamedTuple):
    """log y = slope log x + start, by weighted least squares: chi2 is that of each degree of freedom."""
    slope: float
    error: float
    start: float
    chi2: float

    def __call__(self, x):
        return numpy.exp(self.start) * numpy.asarray(x) ** self.slope

    def __str__(self):
        return f'{self.slope:.3f} ± {self.error:.3f}'


def power_law(x, y, relative_error):
    """The line through log y; the error of its slope follows from those of y, times √chi2 where they are too small."""
    a = numpy.stack([numpy.log(x), numpy.ones(len(x))], -1) / numpy.asarray(relative_error)[:, None]
    b = numpy.log(y) / relative_error
    covariance = numpy.linalg.inv(a.T @ a)
    slope, start = covariance @ (a.T @ b)
    chi2 = ((a @ (slope, start) - b) ** 2).sum() / (len(x) - 2)
    return Line(float(slope), float((covariance[0, 0] * max(1., chi2)) ** .5), float(start), float(chi2))


def root_mean_square(squares):
    """Of independent squared errors: their root mean, and its relative standard error."""
    squares = numpy.asarray(squares)
    mean, n = squares.mean(), len(squares)
    return float(mean ** .5), float(squares.std(ddof=1) / n ** .5 / (2 * mean))


def mean_and_error(values):
    values = numpy.asarray(values)
    return float(values.mean()), float(values.std(ddof=1) / len(values) ** .5)


# ------------------------------------------------------------------ finite networks

def trained(net, params, x, y, rate, steps):
    """Parameters after full-batch gradient descent on 1/2 mean (f - y)^2."""
    from autograd import grad

    from ntref.trees import tree_map
    gradient = grad(lambda params: ((net.apply_fn(params, x) - y) ** 2).mean() / 2)
    for _ in range(steps):
        params = tree_map(lambda p, g: p - rate * g, params, gradient(params))
    return params


# ------------------------------------------------------------------ data

def digits(rng):
    """scikit-learn's 1,797 handwritten digits in random order: pixels of mean 0 and variance 1, labels."""
    from sklearn.datasets import load_digits
    x, labels = load_digits(return_X_y=True)
    order = rng.permutation(len(x))
    return ((x - x.mean()) / x.std())[order], labels[order]


def one_hot(labels):
    """Targets with mean 0: 0.9 for the class, -0.1 for the nine others."""
    return (labels[:, None] == numpy.arange(10)) - .1


# ------------------------------------------------------------------ figures

def canvas(columns, height, width=7., rows=1, **keywords):
    """A figure that can be read at 700 pixels, and its axes."""
    from matplotlib.figure import Figure
    figure = Figure(figsize=(width, height), layout='constrained', facecolor='white')
    axes = figure.subplots(rows, columns, **keywords)
    for each in numpy.ravel(axes):
        each.spines[['top', 'right']].set_visible(False)
        each.tick_params(labelsize=9)
    return figure, axes


def save(figure, path, dpi=140):
    """140 dots an inch: 980 pixels of a figure 7 inches wide; in 256 colours, which are a third of the bytes."""
    from PIL import Image
    figure.savefig(path, dpi=dpi, metadata={'Software': None})
    Image.open(path).convert('RGB').quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
