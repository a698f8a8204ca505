"""Convolutional architectures of the literature, as layers; run, it prints what their kernels cost.

    python validation/architectures.py [--images 2] [--side 8] [--channels 3]
"""
import argparse
import sys
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ntref.stax import (                                # noqa: E402
    AvgPool, Conv, Dense, FanInSum, FanOut, Flatten, GlobalAvgPool, Identity, Relu, parallel, serial)

MYRTLE = {5: (2, 1, 1), 7: (2, 2, 2), 10: (3, 3, 3)}    # convolutions in each of the three stages
WIDTH = 64                                              # of the finite networks; kernels do not depend on it
HE = 2 ** .5                                            # W_std before Relu that keeps the variance


def conv(channels=WIDTH, side=3, stride=1, W_std=HE, b_std=None):
    return Conv(channels, (side, side), (stride, stride), 'SAME', W_std, b_std)


def convolutions(n, **keywords):
    """n times convolution and Relu."""
    return [conv(**keywords), Relu()] * n


# ------------------------------------------------------------------ plain networks

def conv_flatten(depth, W_std=HE, b_std=None, outputs=1):
    """`depth` layers with weights: convolutions 3 x 3 with Relu, then every position has its weights in the readout.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148), "CNN w/o pooling"; CNTK-V of Arora et al. 2019 (arXiv:1904.11955).
    """
    return serial(*convolutions(depth - 1, W_std=W_std, b_std=b_std), Flatten(), Dense(outputs))


def conv_pooled(depth, W_std=HE, b_std=None, outputs=1):
    """The same, with the average over all positions before the readout.

    Source
    ------
    Novak et al. 2019 (arXiv:1810.05148), "CNN w/ pooling".
    """
    return serial(*convolutions(depth - 1, W_std=W_std, b_std=b_std), GlobalAvgPool(), Dense(outputs))


def cntk(depth, outputs=1):
    """CNTK-GAP: `conv_pooled` with He weights and no biases; the published depths are 3, 4, 6, 11 and 21.

    Source
    ------
    Arora et al. 2019 (arXiv:1904.11955) section 4 and table 1.
    """
    return conv_pooled(depth, outputs=outputs)


# ------------------------------------------------------------------ stages with pools between them

def myrtle(stages, outputs=10):
    """Myrtle network: stages of 3 x 3 convolutions with Relu, 2 x 2 averages between them and the mean at the end.

    `MYRTLE` has the stages of Myrtle-5, -7 and -10, for images 32 x 32: the depth counts the readout.

    Source
    ------
    Shankar et al. 2020 (arXiv:2003.02237); stages as in configs/myrtle*.yaml of modestyachts/neural_kernels_code.
    """
    layers = []
    for n in stages:
        layers += [*convolutions(n), AvgPool((2, 2), (2, 2))]
    return serial(*layers[:-1], GlobalAvgPool(), Dense(outputs))


# ------------------------------------------------------------------ residual

def residual_block(channels, stride, shortcut):
    branch = serial(Relu(), conv(channels, stride=stride, W_std=1.), Relu(), conv(channels, W_std=1.))
    return serial(FanOut(2), parallel(branch, shortcut), FanInSum())


def wide_resnet(blocks, widening=1, outputs=10):
    """Wide residual network without batch normalization: three groups of `blocks` blocks, depth 6 blocks + 4.

    The first block of each group has a convolution as its shortcut, 3 x 3 as in the example of Neural Tangents
    (Zagoruyko & Komodakis: 1 x 1), since it changes the number of channels.

    Source
    ------
    Zagoruyko & Komodakis 2016 (arXiv:1605.07146) table 1; Novak et al. 2020 (arXiv:1912.02803).
    """
    layers = [conv(16, W_std=1.)]
    for channels, stride in (16, 1), (32, 2), (64, 2):
        channels = channels * widening
        layers.append(residual_block(channels, stride, conv(channels, stride=stride, W_std=1.)))
        layers += [residual_block(channels, 1, Identity())] * (blocks - 1)
    return serial(*layers, GlobalAvgPool(), Dense(outputs))


ARCHITECTURES = {
    'conv_flatten, depth 5': conv_flatten(5),
    'conv_pooled, depth 5': conv_pooled(5, 1.3, .2),
    'CNTK-GAP, depth 11': cntk(11),
    **{f'Myrtle-{depth}': myrtle(stages) for depth, stages in MYRTLE.items()},
    'wide residual network, depth 10': wide_resnet(1),
}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--images', type=int, default=2)
    parser.add_argument('--side', type=int, default=8)
    parser.add_argument('--channels', type=int, default=3)
    args = parser.parse_args(argv)
    x = numpy.random.default_rng(0).standard_normal((args.images, args.side, args.side, args.channels))
    print(f'NTK of {args.images} images {args.side} x {args.side} x {args.channels}')
    for name, net in ARCHITECTURES.items():
        start = time.perf_counter()
        ntk = net.kernel_fn(x, get='ntk')
        seconds = time.perf_counter() - start
        print(f'{name:<32} {seconds:>8.3f} s   {ntk.min():>10.4g} .. {ntk.max():.4g}', flush=True)
    return 0


if __name__ == '__main__':
    sys.exit(main())
