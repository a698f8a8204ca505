"""Finite networks drawn at random, and whether a kernel is their average."""
import numpy
from autograd import jacobian
from autograd.misc.flatten import flatten
from scipy.stats import t as student

from ntref.kernel import Axes, Signal

LEVEL = 1e-4            # probability at which a test refuses a kernel that is right


def second_moment(net, x, rng, **given):
    """The mean of h h' over the channels of one network, for x (n, ..., channels): (n, n, h, h', w, w', ...)."""
    axes = net.trace(Signal(x.shape, Axes().of(x.ndim))).axes
    _, params = net.init_fn(rng, x.shape)
    h = numpy.moveaxis(net.apply_fn(params, x, rng=rng, **given), (axes.batch, axes.channel), (0, -1))
    rows = h.reshape(-1, h.shape[-1])
    return zipped(rows @ rows.T / h.shape[-1], h.shape[:-1])


def empirical_ntk(net, x, rng, **given):
    """J J', summed over all parameters, of one network with a single output channel, the last axis."""
    _, params = net.init_fn(rng, x.shape)
    flat, unflatten = flatten(params)
    J = jacobian(lambda p: net.apply_fn(unflatten(p), x, rng=rng, **given)[..., 0])(flat)
    rows = J.reshape(-1, len(flat))
    return zipped(rows @ rows.T, J.shape[:-1])


def zipped(products, shape):
    """(n h w, n h w) as (n, n, h, h', w, w'), for shape = (n, h, w)."""
    m = len(shape)
    order = [axis for i in range(m) for axis in (i, m + i)]
    return products.reshape(*shape, *shape).transpose(order)


def draws(statistic, net, x, rng, n, **given):
    """The statistic of n independent networks."""
    return numpy.array([statistic(net, x, generator, **given) for generator in rng.spawn(n)])


def chance(samples, kernel):
    """Bound on the probability that the mean of n samples is off by as much in any entry, if the kernel is right.

    Each |mean - kernel| in standard errors, which come from the scatter of the samples, is Student's t with n - 1
    degrees of freedom; the largest is taken, out of as many as there are entries.
    """
    assert samples.shape[1:] == numpy.shape(kernel)
    error = samples.std(0, ddof=1) / len(samples) ** .5
    floor = 1e-9 * abs(numpy.asarray(kernel)).max()             # of entries that are the same in each sample
    worst = (abs(samples.mean(0) - kernel) / (error + floor)).max()
    return 2 * error.size * student.sf(worst, len(samples) - 1)


def check_mean(samples, kernel, notices):
    """The samples have this mean, and are enough to refuse a kernel that is larger by a factor of 1 + notices."""
    assert chance(samples, kernel) > LEVEL
    assert chance(samples, (1 + notices) * kernel) < LEVEL
