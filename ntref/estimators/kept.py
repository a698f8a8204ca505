"""Fitted estimators in files: `save_estimator`, `load_estimator`. Nothing is pickled, and nothing read is executed."""
from os import PathLike

import numpy
from sklearn.utils.validation import check_is_fitted

from ..engine.archive import read_archive, refused, write_archive
from ..predict.ensemble import check_same
from ..predict.predictor import Predictor
from ..stax import from_spec
from .base import Kernels, NetworkEstimator
from .classifiers import NNGPClassifier, NTKClassifier
from .inputs import Scale
from .regressors import NNGPRegressor, NTKRegressor
from .solved import InMemory, OnDisk

__all__ = ['load_estimator', 'save_estimator']

KIND = 'estimator'                                     # in the manifest of its file
CLASSES = {cls.__name__: cls for cls in (NNGPRegressor, NTKRegressor, NNGPClassifier, NTKClassifier)}
FIRST = 2                                              # inputs by whose kernel a network is recognized


def save_estimator(path: str | PathLike, model: NetworkEstimator) -> None:
    """Write a fitted estimator to a file, whole or not at all: its arguments, its network as JSON, what it learnt.

    Parameters
    ----------
    path : str or path      ending in .npz; an existing file is replaced.
    model : a fitted `NNGPRegressor`, `NTKRegressor`, `NNGPClassifier` or `NTKClassifier`.

    Raises
    ------
    NotFittedError : it is not fitted.
    TypeError  : something else; arguments that JSON and arrays cannot hold, such as a kernel function of the user or a
        Generator as random_state; one fitted with `out`, whose kernel is in a store.
    ValueError : the path has another ending; a layer of the network has a function of the user (`Elementwise`).

    Notes
    -----
    Kernels and factorizations of n training points take 16 n^2 bytes for each kernel. Pipelines are saved step by
    step, or by pickle, which all estimators allow.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> from ntref.estimators import NNGPRegressor, load_estimator, save_estimator
    >>> model = NNGPRegressor().fit([[-1.], [0.], [1.]], [1., 0., 1.])
    >>> with tempfile.TemporaryDirectory() as there:
    ...     save_estimator(os.path.join(there, 'model.npz'), model)
    ...     again = load_estimator(os.path.join(there, 'model.npz'))
    >>> bool(again.predict([[.5]]) == model.predict([[.5]]))
    True
    """
    if type(model) not in CLASSES.values():
        raise TypeError(f'expected a model of {", ".join(CLASSES)}, got {model!r:.100} of type {type(model).__name__}.')
    check_is_fitted(model)
    given = model.get_params(deep=False)
    learnt = {name: value for name, value in vars(model).items() if name not in given}
    if isinstance(learnt.get('solved_'), OnDisk):
        raise TypeError(f'expected a model that was fitted in memory, got one with its kernel at {given["out"]}. Fit '
                        'it without out.')
    tree = {'class': type(model).__name__, **_given(given), **_learnt(learnt), 'first': _first(model)}
    write_archive(path, KIND, tree)


def load_estimator(path: str | PathLike) -> NetworkEstimator:
    """Read what `save_estimator` wrote; what is read predicts the same bits. Nothing in the file is executed.

    The file is checked as those of `ntref.load_predictor` are: checksum, shapes and types, factorizations, and that
    the network has the kernel that it had for the first inputs. The mode of Laplace's approximation is found again.

    Raises
    ------
    ValueError : the file is not one of `save_estimator`, is damaged or was changed, or is of a later version; its
        network has another kernel than it had.
    FileNotFoundError : there is no such file.
    """
    tree = read_archive(path, KIND)
    with refused(path, 'save_estimator'):
        return _model(tree)


# ------------------------------------------------------------------ what a file has

def _given(params):
    """Return the arguments, those that are networks as JSON."""
    layers = {name: getattr(value, 'layer', value) for name, value in params.items()}    # that of a kernel function
    networks = {name: layer.to_spec() for name, layer in layers.items() if hasattr(layer, 'to_spec')}
    return {'networks': networks, 'params': {name: value for name, value in params.items() if name not in networks}}


def _learnt(attributes):
    """Return what was learnt, by the kind of what it is."""
    kinds: dict[str, dict] = {'plain': {}, 'objects': {}, 'scales': {}, 'solved': {}, 'posteriors': {}}
    for name, value in attributes.items():
        if isinstance(value, Scale):
            kinds['scales'][name] = vars(value)
        elif isinstance(value, InMemory):
            kinds['solved'][name] = value.parts()
        elif isinstance(value, Predictor):
            kinds['posteriors'][name] = {'of': value.of, 'parts': value.parts()}
        elif isinstance(value, numpy.ndarray) and value.dtype == object:             # names of features, and labels
            kinds['objects'][name] = value.tolist()
        elif not isinstance(value, Kernels):
            kinds['plain'][name] = value
    return kinds


def _first(model):
    """Return the kernels of the first inputs."""
    return model.kernels_(model.names, model.X_fit_[:FIRST])


# ------------------------------------------------------------------ and back

def _model(tree):
    """Return the estimator; raise ValueError if the parts do not go together."""
    networks = {name: from_spec(spec) for name, spec in tree['networks'].items()}
    model = CLASSES[tree['class']](**tree['params'], **networks)
    learnt = dict(tree['plain'])
    learnt |= {name: numpy.array(value, object) for name, value in tree['objects'].items()}
    learnt |= {name: Scale(**fields) for name, fields in tree['scales'].items()}
    learnt |= {name: InMemory.of_parts(parts) for name, parts in tree['solved'].items()}
    for name, value in tree['posteriors'].items():
        learnt[name] = Predictor.registry[value['of']].of_parts(value['parts'], from_spec)
    for name, value in learnt.items():
        setattr(model, name, value)
    model.kernels_ = model.network_kernels()
    for name, k in _first(model).items():
        check_same(name, k, tree['first'][name])
    check_is_fitted(model)
    return model
