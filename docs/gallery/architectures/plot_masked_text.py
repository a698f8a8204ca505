"""
Reviews of different lengths: masks
===================================

Sentences have different lengths, arrays have one. Shorter ones are padded, and ``mask_constant``
says with what; the kernel is then that of the sentences *without* padding. Here 120 made-up
reviews of 4 to 40 words, good words and bad words among many that mean nothing; to be learnt:
is the review good?
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

rng = np.random.default_rng(0)
embedding = rng.standard_normal((1000, 20))                # of 1,000 words; 0 to 9 good, 10 to 19 bad


def review(good):
    words = rng.integers(20, 1000, rng.integers(4, 41))
    said = rng.integers(0, 10, 1 + len(words) // 8) + (0 if good else 10)
    words[rng.choice(len(words), len(said), replace=False)] = said
    return embedding[words]


y = np.arange(400) % 2 * 2. - 1
reviews = [review(good=label > 0) for label in y]

# %%
# NaN is the padding, since no number of an embedding is NaN.

x = np.full((400, 40, 20), np.nan)
for row, words in zip(x, reviews):
    row[:len(words)] = words

net = stax.serial(stax.Conv(1, (1,), W_std=2 ** .5, b_std=.1), stax.Relu(), stax.GlobalAvgPool(),
                  stax.Dense(1, 2 ** .5), stax.Relu(), stax.Dense(1))
k = net.kernel_fn(x, get='ntk', mask_constant=np.nan)
alone = net.kernel_fn(reviews[0][None], reviews[1][None], 'ntk')[0, 0]
print(f'two reviews padded: {k[0, 1]:.12f}, as they are: {alone:.12f}')
assert abs(k[0, 1] / alone - 1) < 1e-12

# %%
# The same with zeros in place of the mask: the average then counts the padding, and short reviews
# look weak.

zeros = net.kernel_fn(np.nan_to_num(x), get='ntk')
lengths = np.array([len(words) for words in reviews[300:]])
ax = plt.subplots(layout='constrained')[1]
right = {}
for (name, k), style in zip({'masked': k, 'padded with zeros': zeros}.items(), ('o-', 's--')):
    f = predict.gp_inference(k[:300, :300], y[:300], diag_reg=1e-2)('ntk', k[300:, :300])
    right[name] = ((f > 0) == (y[300:] > 0)).mean()
    margin = np.array([(f * y[300:])[(lengths > n - 9) & (lengths <= n)].mean() for n in (13, 22, 31, 40)])
    ax.plot((9, 18, 27, 36), margin, style, label=f'{name}: {right[name]:.0%} of 100 right')
ax.set(xlabel='length of the review [words]', ylabel='mean output towards the right side')
ax.legend()
plt.show()
