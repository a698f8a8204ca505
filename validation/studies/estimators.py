"""Estimators beside scikit-learn's: scores with one search each, and how far probabilities can be trusted."""
from typing import NamedTuple

import numpy

from .common import BLUE, GREEN, GREY, MARKERS, ORANGE, PINK, Section, canvas, save, table

QUICK = {'names': ('iris', 'friedman'), 'repeats': 1, 'sure': ('wine',), 'networks': 2}

NOISE = [1e-4, 1e-2, 1e-1, 1.]
WIDTHS = [.3, 1., 3.]                    # of RBF kernels, in units of the root of the number of features
COSTS = [.1, 1., 10., 100., 1000.]
BINS = 10

TEXT = """
Scores on a third of the data that was held out, trained on the rest: accuracy, or R² of the last two; mean ± standard
error of {repeats} splits. Inputs standardized. One `GridSearchCV` with 3 folds for each method: NTK and NNGP
(regression to one-hot targets for classes), 1 or 3 hidden layers of Relu, `diag_reg` from 1e-4 to 1; GP:
scikit-learn's, with an RBF kernel of width 0.3 to 3 (times the root of the number of features) and for regression noise
from 1e-4 to 1, without its optimizer; SVM: RBF of the same widths, C from 0.1 to 1,000; random forest: 200 trees, a
third or the root of the number of features a split. At most 600 inputs of each set.

Probabilities on the same thirds, without a search: log loss, and the expected calibration error, the mean over
predictions of the difference between the confidence in the class that is predicted and how often it is right, in {bins}
bins of confidence. The finite ensemble: {networks} networks of scikit-learn's `MLPClassifier`, 2 hidden layers of width
256, whose probabilities are averaged; GP: `GaussianProcessClassifier`, 1 RBF with its optimizer.

{sure}

The figure: how often predictions on {shown} were right, against their confidence; areas are numbers of predictions.

**It shows** that the estimators work in searches, that their scores are those of good methods for small tables, and
that probabilities by regression with a temperature are nearly as well calibrated as those of finite networks.
Cross-entropy at the same time for all data is too cautious on digits; so is Laplace's approximation, scikit-learn's
too, and the more so the more classes there are.
**It cannot show** which method is best: differences between most are as large as the errors, and the splits overlap.
"""


class Row(NamedTuple):
    data: str
    method: str
    score: float
    error: float


class Sure(NamedTuple):
    data: str
    method: str
    accuracy: float
    log_loss: float
    calibration: float
    reliability: list                    # of (confidence, share that is right, number)


# ------------------------------------------------------------------ data

def sets():
    """{name: (inputs, targets)}, at most 600 of each."""
    from sklearn import datasets
    found = {'iris': datasets.load_iris(return_X_y=True), 'wine': datasets.load_wine(return_X_y=True),
             'breast cancer': datasets.load_breast_cancer(return_X_y=True),
             'digits': datasets.load_digits(return_X_y=True),
             'moons': datasets.make_moons(300, noise=.3, random_state=0),
             'blobs': datasets.make_classification(400, 20, n_informative=6, n_classes=3, random_state=0),
             'diabetes': datasets.load_diabetes(return_X_y=True),
             'friedman': datasets.make_friedman1(400, noise=1., random_state=0)}
    return {name: (x[:600], y[:600]) for name, (x, y) in found.items()}


def split(x, y, seed):
    """Inputs of a training and a test set, standardized by the first, and their targets."""
    from sklearn.model_selection import train_test_split
    labels = y if y.dtype.kind in 'iu' else None
    train, test, y_train, y_test = train_test_split(x, y, test_size=1 / 3, random_state=seed, stratify=labels)
    varies = train.std(0) > 0
    mean, std = train.mean(0)[varies], train.std(0)[varies]
    return (train[:, varies] - mean) / std, (test[:, varies] - mean) / std, y_train, y_test


# ------------------------------------------------------------------ scores

def methods(features, are_labels):
    """{name: (estimator, what the search chooses from)}."""
    from sklearn import ensemble, gaussian_process, svm
    from sklearn.gaussian_process.kernels import RBF

    from ntref import estimators
    kernels = [RBF(width * features ** .5) for width in WIDTHS]
    gammas = [1 / (2 * features * width ** 2) for width in WIDTHS]
    ours = {'depth': [1, 3], 'diag_reg': NOISE}
    trees = {'max_features': ['sqrt', 1 / 3]}
    if are_labels:
        return {'NTK': (estimators.NTKClassifier(method='regression'), ours),
                'NNGP': (estimators.NNGPClassifier(method='regression'), ours),
                'GP': (gaussian_process.GaussianProcessClassifier(optimizer=None), {'kernel': kernels}),
                'SVM': (svm.SVC(), {'C': COSTS, 'gamma': gammas}),
                'random forest': (ensemble.RandomForestClassifier(200, random_state=0), trees)}
    process = gaussian_process.GaussianProcessRegressor(optimizer=None, normalize_y=True)
    return {'NTK': (estimators.NTKRegressor(), ours), 'NNGP': (estimators.NNGPRegressor(), ours),
            'GP': (process, {'kernel': kernels, 'alpha': NOISE}),
            'SVM': (svm.SVR(), {'C': COSTS, 'gamma': gammas}),
            'random forest': (ensemble.RandomForestRegressor(200, random_state=0), trees)}


def measure(names=None, repeats=3):
    from sklearn.model_selection import GridSearchCV
    rows = []
    for name, (x, y) in sets().items():
        if names is not None and name not in names:
            continue
        found = {}
        for seed in range(repeats):
            train, test, y_train, y_test = split(x, y, seed)
            for method, (estimator, grid) in methods(train.shape[1], y.dtype.kind in 'iu').items():
                search = GridSearchCV(estimator, grid, cv=3).fit(train, y_train)
                found.setdefault(method, []).append(search.score(test, y_test))
        for method, scores in found.items():
            error = numpy.std(scores, ddof=1) / repeats ** .5 if repeats > 1 else numpy.nan
            rows.append(Row(name, method, float(numpy.mean(scores)), float(error)))
    return rows


# ------------------------------------------------------------------ probabilities

def reliability(p, y):
    """(confidence, share that is right, number) of each bin of confidence that has predictions."""
    confidence, right = p.max(1), p.argmax(1) == y
    bins = numpy.minimum((confidence * BINS).astype(int), BINS - 1)
    return [(float(confidence[bins == b].mean()), float(right[bins == b].mean()), int((bins == b).sum()))
            for b in numpy.unique(bins)]


def calibration_error(found):
    """The mean over predictions of |confidence - share that is right| of their bin."""
    return sum(n * abs(confidence - right) for confidence, right, n in found) / sum(n for *_, n in found)


def with_probabilities(networks):
    """{name: estimators, whose probabilities are averaged}."""
    from sklearn.gaussian_process import GaussianProcessClassifier
    from sklearn.gaussian_process.kernels import RBF
    from sklearn.neural_network import MLPClassifier

    from ntref.estimators import NNGPClassifier, NTKClassifier
    return {'NNGP, Laplace': [NNGPClassifier()], 'NNGP, regression': [NNGPClassifier(method='regression')],
            'NTK, regression': [NTKClassifier(method='regression')], 'NTK, cross-entropy': [NTKClassifier()],
            'finite ensemble': [MLPClassifier((256, 256), max_iter=400, random_state=i) for i in range(networks)],
            'GP': [GaussianProcessClassifier(1. * RBF(1.), random_state=0)]}


def probabilities(names=('digits', 'wine', 'breast cancer'), networks=10):
    from sklearn.metrics import log_loss
    rows = []
    for name in names:
        train, test, y_train, y_test = split(*sets()[name], 0)
        for method, each in with_probabilities(networks).items():
            if not each:
                continue
            p = numpy.mean([estimator.fit(train, y_train).predict_proba(test) for estimator in each], 0)
            found = reliability(p, y_test)
            accuracy = float((p.argmax(1) == y_test).mean())
            rows.append(Sure(name, method, accuracy, float(log_loss(y_test, p)), calibration_error(found), found))
    return rows


# ------------------------------------------------------------------ the page

def run(figure, names=None, repeats=3, sure=('digits', 'wine', 'breast cancer'), networks=10):
    rows, certain = measure(names, repeats), probabilities(sure, networks)
    draw([row for row in certain if row.data == sure[0]], figure)
    who, data = (list(dict.fromkeys(r[i] for r in rows)) for i in (1, 0))
    cells = {r[:2]: f'{r.score:.3f} ± {r.error:.3f}' for r in rows}
    means = {m: numpy.mean([r.score for r in rows if r.method == m]) for m in who}
    summary = table(('data', 'method', 'accuracy', 'log loss', 'calibration error'), [
        (r.data, r.method, f'{r.accuracy:.3f}', f'{r.log_loss:.3f}', f'{r.calibration:.3f}') for r in certain])
    return Section(
        'Estimators beside those of scikit-learn', 'scores near those of SVM and random forest',
        'mean score: ' + ', '.join(f'{m} {mean:.3f}' for m, mean in means.items()),
        table(('data', *who), [(d, *(cells[d, m] for m in who)) for d in data])
        + '\n' + TEXT.format(repeats=repeats, bins=BINS, networks=networks, sure=summary, shown=sure[0]))


def draw(rows, path):
    figure, axes = canvas(1, 4., width=5.)
    axes.plot([0, 1], [0, 1], color=GREY, lw=.8)
    for row, color, marker in zip(rows, (ORANGE, BLUE, GREEN, PINK, GREY, 'black'), MARKERS + 'x'):
        confidence, right, n = zip(*row.reliability)
        axes.plot(confidence, right, color=color, lw=.6)
        axes.scatter(confidence, right, 4 + numpy.array(n), color=color, marker=marker, label=row.method)
    axes.set(xlabel='confidence', ylabel='share that is right', xlim=(0, 1), ylim=(0, 1.02))
    for handle in axes.legend(fontsize=8, frameon=False).legend_handles:
        handle.set_sizes([20])
    save(figure, path)
