"""Wrong arguments: each is refused by a sentence that says what was expected."""
import numpy
import pytest

from ntref import (
    empirical_kernel_fn, empirical_nngp_fn, empirical_ntk_fn, empirical_ntk_vp_fn, linearize, monte_carlo_kernel_fn,
    stax, taylor_expand)

X = numpy.random.default_rng(0).standard_normal((3, 4))
INIT, F, _ = stax.serial(stax.Dense(5), stax.Relu(), stax.Dense(2))
PARAMS = INIT(0, X.shape)[1]
MASKED = numpy.ma.array(X, mask=X > 0)
GARBAGE = [True, 7, -9, 2.5, 'text', b'bytes', object(), {}, {'a': 1}, numpy.ones((2, 2, 2)), MASKED, X.astype(complex),
           X.astype(str), X.astype(object), 1j, float('nan'), iter([1]), numpy.array(2.)]
NO_FUNCTIONS = [None, *GARBAGE, (0,), X]


def nngp(f=F, x1=X, x2=None, params=PARAMS, **options):
    return empirical_nngp_fn(f, **options)(x1, x2, params)


def ntk(f=F, x1=X, x2=None, params=PARAMS, **options):
    return empirical_ntk_fn(f, **options)(x1, x2, params)


def kernel(f=F, x1=X, x2=None, params=PARAMS, get=None, **options):
    return empirical_kernel_fn(f, **options)(x1, x2, get, params)


def products(f=F, x1=X, x2=None, params=PARAMS, v=X[:, :2]):
    return empirical_ntk_vp_fn(f, x1, x2, params)(v)


def expanded(f=F, about=PARAMS, params=PARAMS, x=X, degree=1):
    return taylor_expand(f, about, degree)(params, x)


def linear(f=F, about=PARAMS, params=PARAMS, x=X):
    return linearize(f, about)(params, x)


def mean(init=INIT, f=F, seed=0, n_samples=2, x1=X, x2=None, get=None, **options):
    return monte_carlo_kernel_fn(init, f, seed, n_samples, device_count=0, **options)(x1, x2, get)


REFUSED = {name: (call, values) for call in (nngp, ntk, kernel, products, expanded, linear, mean)
           for name, values in ((f'{call.__name__}: f', NO_FUNCTIONS),)}
for call in nngp, ntk, kernel, products, mean:
    REFUSED |= {f'{call.__name__}: x1': (call, [None, *GARBAGE]), f'{call.__name__}: x2': (call, [*GARBAGE, [], ()])}
REFUSED['mean: x1'] = mean, [None, *(value for value in GARBAGE if numpy.ndim(value) < 3)]
for call in nngp, ntk, kernel, products, linear, expanded:
    REFUSED[f'{call.__name__}: params'] = call, [None, *GARBAGE, X, (), [1, 2]]
for call in nngp, ntk, kernel, mean:
    for axes in 'trace_axes', 'diagonal_axes':
        REFUSED[f'{call.__name__}: {axes}'] = call, [None, *GARBAGE]
for call in ntk, kernel, mean:
    REFUSED[f'{call.__name__}: vmap_axes'] = call, [v for v in GARBAGE if not isinstance(v, dict)]
    REFUSED[f'{call.__name__}: implementation'] = call, [None, *GARBAGE, [1], (0, 1)]
for call in ntk, kernel:
    REFUSED[f'{call.__name__}: check'] = call, [None, 'False', *GARBAGE[1:]]
for call in kernel, mean:
    REFUSED[f'{call.__name__}: get'] = call, [*GARBAGE, (), ('ntk', 'ntk'), X, ['cov1']]
REFUSED |= {
    'products: v': (products, [None, *GARBAGE, X, X[:, :1]]), 'linear: about': (linear, [None, *GARBAGE, X]),
    'linear: x': (linear, [None, MASKED, *GARBAGE[:9]]), 'expanded: degree': (expanded, [None, *GARBAGE[2:], True]),
    'mean: init': (mean, [*NO_FUNCTIONS, lambda rng, shape: None]), 'mean: seed': (mean, [None, True, *GARBAGE[2:]]),
    'mean: n_samples': (mean, [None, True, *GARBAGE[2:5], *GARBAGE[6:]]),
    'mean: batch_size': (mean, [None, True, *GARBAGE[2:]]), 'mean: return_error': (mean, [None, *GARBAGE[1:]]),
}


@pytest.mark.parametrize('name', REFUSED)
def test_refused(name):
    call, values = REFUSED[name]
    for value in values:
        if name == 'mean: n_samples' and not isinstance(value, (int, float)) and hasattr(value, '__next__'):
            continue                                                            # several numbers of samples
        with pytest.raises((TypeError, ValueError), match='expected'):
            raise AssertionError(f'taken: {value!r:.100}, {call(**{name.partition(": ")[2]: value})!r:.50}')


def test_what_f_returns():
    for out in None, (), {}, [], 'text', numpy.array(['a']), X.astype('datetime64[s]'), object(), X * 1j:
        for call in (nngp, ntk, kernel, products) if numpy.iscomplexobj(out) else (nngp, ntk, kernel, products, linear):
            with pytest.raises((TypeError, ValueError), match='expected'):
                call(lambda params, x, out=out: out)


def test_matrices_are_no_arrays():
    with pytest.warns(PendingDeprecationWarning):
        matrix = numpy.matrix(X)
    for call in nngp, ntk, kernel, products:
        with pytest.raises(TypeError, match='expected x1 to be an array, got matrix'):
            call(x1=matrix)
    with pytest.raises(TypeError, match='expected an array .*got MaskedArray'):
        F(PARAMS, MASKED)
