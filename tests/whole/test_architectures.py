"""The architectures of validation/architectures.py: what they are made of, and CNTK against its textbook recursion.

Myrtle and wide residual networks against tables of Neural Tangents: test_golden_conv.py.
"""

import architectures
import numpy
import pytest


def count(spec, name):
    """How many layers of this name a network has."""
    inner = [*spec.get('layers', ()), *spec.get('block', ())]
    return (spec['layer'] == name) + sum(count(layer, name) for layer in inner)


@pytest.mark.parametrize('name, convolutions, pools, side', [
    ('conv_flatten, depth 5', 4, 0, 4), ('conv_pooled, depth 5', 4, 0, 4), ('CNTK-GAP, depth 11', 10, 0, 4),
    ('Myrtle-5', 4, 2, 4), ('Myrtle-7', 6, 2, 4), ('Myrtle-10', 9, 2, 4),
    ('wide residual network, depth 10', 1 + 3 * 3, 0, 8)])
def test_layers(name, convolutions, pools, side, rng):
    net, x = architectures.ARCHITECTURES[name], rng.standard_normal((2, side, side, 3))
    assert (count(net.to_spec(), 'Conv'), count(net.to_spec(), 'AvgPool')) == (convolutions, pools)
    shape, params = net.init_fn(rng, x.shape)
    assert net.apply_fn(params, x).shape == shape == net.kernel_fn(x).shape1 and shape[0] == 2


def test_main(capsys):
    assert architectures.main(['--images', '1', '--side', '4']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split('  ')[0] for line in lines[1:]] == list(architectures.ARCHITECTURES)


# ------------------------------------------------------------------ the recursion of Arora et al. 2019, section 4

def patches(c):
    """Mean over 3 x 3 taps of both positions, zero outside, times the He weights squared."""
    height, width = c.shape[:2]
    c = numpy.pad(c, 1)
    return 2 / 9 * sum(c[a:a + height, b:b + width, a:a + height, b:b + width] for a in range(3) for b in range(3))


def rectified(k, q1, q2):
    q1, q2 = (numpy.einsum('ijij->ij', q) for q in (q1, q2))
    s = numpy.sqrt(q1[:, :, None, None] * q2)
    t = numpy.arccos(numpy.clip(k / s, -1, 1))
    return s * (numpy.sin(t) + (numpy.pi - t) * numpy.cos(t)) / (2 * numpy.pi), (numpy.pi - t) / (2 * numpy.pi)


def textbook(x, y, depth):
    """K(x, y) and Theta(x, y) between all positions, before the readout."""
    k, q1, q2 = (numpy.einsum('ijc,klc->ijkl', a, b) / a.shape[-1] for a, b in ((x, y), (x, x), (y, y)))
    ntk = 0 * k
    for _ in range(depth - 1):
        k, q1, q2, ntk = map(patches, (k, q1, q2, ntk))
        (new, slope), (new1, _), (new2, _) = rectified(k, q1, q2), rectified(q1, q1, q1), rectified(q2, q2, q2)
        k, q1, q2, ntk = new, new1, new2, slope * (ntk + k)
    return k, ntk


@pytest.mark.parametrize('depth', [2, 3, 6])
def test_cntk(depth, rng):
    """The readout adds K: trained as well."""
    x, y = rng.standard_normal((2, 5, 4, 3))
    k, ntk = textbook(x, y, depth)
    for net, mean in ((architectures.cntk(depth), numpy.mean),
                      (architectures.conv_flatten(depth), lambda c: numpy.einsum('ijij->ij', c).mean())):
        ours = net.kernel_fn(x[None], y[None], get=('nngp', 'ntk'))
        assert abs(ours.nngp[0, 0] - mean(k)) < 1e-13 * mean(k)
        assert abs(ours.ntk[0, 0] - mean(k) - mean(ntk)) < 1e-13 * max(mean(k), mean(ntk))
