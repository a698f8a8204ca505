"""The first release's names, from before Neural Tangents had `empirical_ntk_fn`."""
from .arguments import as_whole
from .empirical import empirical_ntk_fn
from .engine.batch import batch

__all__ = ['ntk']


def ntk(f, batch_size=None):
    r"""The NTK of a finite network with all pairs of its outputs, J(x1) J(x2)^T: `empirical_ntk_fn` with no traces.

    Parameters
    ----------
    f : callable (params, x), arrays -> array (n, o)
        Written with `autograd.numpy`, see `empirical_kernel_fn`.
    batch_size : int > 0, optional
        So many inputs of x1 and x2 at a time, which takes the memory of their Jacobians alone. f has to treat its
        inputs (on the first axis) one by one. None: all at once, and f may mix them.

    Returns
    -------
    ntk_fn(x1, x2, params) -> array (n1, n2, o, o), for outputs (n, o)
        x2 = None: x1 with itself. Predictors of this module take it as it is.

    Raises
    ------
    ValueError : batch_size < 1; f mixes its inputs although batch_size is given; those of `empirical_kernel_fn`.

    Accuracy, Source
    ----------------
    Of `empirical_kernel_fn`. Jacot et al. 2018 (arXiv:1806.07572): docs/theory/empirical.md#kernels.

    Examples
    --------
    >>> import numpy
    >>> ntk_fn = ntk(lambda params, x: x @ params, batch_size=2)
    >>> k = ntk_fn(numpy.eye(3), None, numpy.ones((3, 2)))            # x x' for each output, zero between them
    >>> k.shape, k[0, 0].tolist(), k[0, 1].tolist()
    ((3, 3, 2, 2), [[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]])
    """
    if batch_size is None:
        return empirical_ntk_fn(f, (), implementation=0)
    of_pairs = empirical_ntk_fn(f, (), vmap_axes=0, implementation=3)
    in_batches = batch(of_pairs, as_whole(batch_size, 'ntk: batch_size', 1), device_count=0)

    def ntk_fn(x1, x2, params):
        for x in x1, x2:
            if x is not None and len(x) > 1:
                of_pairs(x[:2], None, params)                   # two see of each other what batches of one do not
        return in_batches(x1, x2, params)
    return ntk_fn
