"""Demo `ntref demo --net conv`: the advantage of convolution and pooling on few handwritten digits.

An infinitely wide convolutional network with pooling, trained to the end, is compared with a fully connected one on the
same images.
"""
import time

from tqdm.auto import tqdm

from .. import predict, stax
from ..arrays import generator, namespace
from .dense import REG, needs, network, refuse_format

__all__ = ['run']

SPLITS = 3
N_TRAIN = 200
N_TEST = 200
FIGURE = 'ntref-demo-conv.png'
FEW = 60                               # images whose kernels are shown


def run(n_train: int = N_TRAIN, seed: int = 0, figure: str = FIGURE) -> None:
    """Print the accuracy of both networks on three splits and save the figure; errors are those of the other demo."""
    load_digits = needs('sklearn.datasets').load_digits
    figures = needs('matplotlib.figure')
    refuse_format(figures, figure)
    x, labels = load_digits(return_X_y=True)
    if not 20 <= n_train <= len(x) - N_TEST:
        raise ValueError(f'expected between 20 and {len(x) - N_TEST} images to train on, got '
                         f'--train {n_train}.')
    nets = {'fully connected': network(depth=3, out=10), 'convolutional': convolutional()}
    print(f'handwritten digits of 8 x 8 pixels, {n_train} to train on, {N_TEST} to test on, '
          f'{SPLITS} splits')
    for name, net in nets.items():
        print(f'{name:>16}: {net}')
    results = []
    seconds = dict.fromkeys(nets, 0.)
    shown: tuple = ()
    for rng in tqdm(generator(seed).spawn(SPLITS), desc='splits'):
        order = rng.permutation(len(x))[:n_train + N_TEST]
        images = standardized(x[order], n_train).reshape(-1, 8, 8, 1)
        kinds = labels[order]
        row = []
        kernels = []
        for name, net in nets.items():
            start = time.perf_counter()
            inputs = images if name == 'convolutional' else images.reshape(-1, 64)
            k = net.kernel_fn(inputs, None, 'ntk')
            seconds[name] += time.perf_counter() - start
            row.append(accuracy(k, kinds, n_train))
            kernels.append(k)
        results.append(row)
        shown = shown or (kernels, kinds)              # of the first split
    tell(results, seconds)
    kernels, kinds = shown
    draw(figures, figure, list(nets), kernels, kinds, results)
    print(f'\nFigure: {figure}')


def tell(results, seconds):
    """Print the accuracies of each network, a row of `results` for each split, and the seconds of its kernels."""
    columns = '  '.join(f'split {i + 1}' for i in range(SPLITS))
    print(f'\n{"test accuracy":>16}  {columns}     mean   kernels')
    for i, name in enumerate(seconds):
        scores = [row[i] for row in results]
        shares = '  '.join(f'{a:>7.3f}' for a in scores)
        mean = sum(scores) / SPLITS
        print(f'{name:>16}  {shares}  {mean:>7.4f}  {seconds[name] / SPLITS:>6.2f} s')


def convolutional():
    """Return a network of two convolutions, a pool, a third convolution and the average over all positions."""
    conv = stax.Conv(256, (3, 3), padding='SAME', W_std=2 ** .5, b_std=.1)
    relu = stax.Relu()
    pool = stax.AvgPool((2, 2), (2, 2))
    average = stax.GlobalAvgPool()
    return stax.serial(conv, relu, conv, relu, pool, conv, relu, average, stax.Dense(10))


def standardized(x, n):
    """Standardize pixels by mean and standard deviation over the first n images as a whole; float32 is enough."""
    x = x - x[:n].mean()
    return (x / (x[:n] ** 2).mean() ** .5).astype('float32')


def accuracy(k, labels, n):
    """Return the accuracy of the network trained to the end on the first n images and tested on the others."""
    k = k.astype('float64')
    y = (labels[:n, None] == sorted(set(labels))) - .1
    mean = predict.gp_inference(k[:n, :n], y, diag_reg=REG)(get='ntk', k_test_train=k[n:, :n])
    return float((mean.argmax(-1) == labels[n:]).mean())


def draw(figures, path, names, kernels, labels, results):
    """Draw the correlations of the kernels between images, sorted by class, and the accuracies beside them."""
    figure = figures.Figure(figsize=(11, 3.8), layout='constrained')
    *maps, bars = figure.subplots(1, 3)
    order = labels[:FEW].argsort(kind='stable')
    edges = [int((labels[:FEW] < c).sum()) - .5 for c in range(1, 10)]
    for axes, name, k in zip(maps, names, kernels):
        k = k[:FEW, :FEW][order][:, order]
        length = namespace(k).sqrt(k.diagonal())
        image = axes.imshow(k / length / length[:, None], cmap='viridis')
        figure.colorbar(image, ax=axes, shrink=.8)
        for edge in edges:
            axes.axhline(edge, color='white', lw=.4)
            axes.axvline(edge, color='white', lw=.4)
        axes.set(title=f'NTK, {name}: correlation', xlabel=f'{FEW} images, sorted by digit',
                 xticks=[], yticks=[])
    for i, name in enumerate(names):
        scores = [row[i] for row in results]
        places = [s + .4 * i for s in range(SPLITS)]
        bars.bar(places, scores, width=.38, label=f'{name}: {sum(scores) / SPLITS:.3f}')
    lowest = min(min(row) for row in results)
    bars.set(title='test accuracy', ylim=(lowest - .05, 1), xticks=[s + .2 for s in range(SPLITS)],
             xticklabels=[f'split {s + 1}' for s in range(SPLITS)])
    bars.legend(loc='upper left', fontsize='small')
    figure.savefig(path, dpi=130)
