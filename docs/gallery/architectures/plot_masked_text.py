"""
Reviews of different lengths: masks
===================================

Sentences have different lengths, arrays have one. Shorter ones are padded, and ``mask_constant``
says with what; the kernel is then that of the sentences *without* padding. Here 200 made-up
reviews of 4 to 20 words, good words and bad words among many that mean nothing; to be learnt:
is the review good?
"""
import matplotlib.pyplot as plt
import numpy as np

from ntref import predict, stax

rng = np.random.default_rng(0)
embedding = rng.standard_normal((1000, 20))      # words 0 to 9 are good, 10 to 19 bad


def review(good):
    words = rng.integers(20, 1000, rng.integers(4, 21))
    said = rng.integers(0, 10, 1 + len(words) // 8) + (0 if good else 10)
    words[rng.choice(len(words), len(said), replace=False)] = said
    return embedding[words]


y = np.arange(200) % 2 * 2. - 1
reviews = [review(good=label > 0) for label in y]

# %%
# NaN is the padding, since no number of an embedding is NaN.

x = np.full((200, 20, 20), np.nan)
for row, words in zip(x, reviews):
    row[:len(words)] = words

net = stax.serial(stax.Conv(1, (1,), W_std=2 ** .5, b_std=.1), stax.Relu(),
                  stax.GlobalAvgPool(),
                  stax.Dense(1, 2 ** .5), stax.Relu(), stax.Dense(1))
k = net.kernel_fn(x, get='ntk', mask_constant=np.nan)
alone = net.kernel_fn(reviews[0][None], get='ntk')[0, 0]
print(f'{len(reviews[0])} words padded to 20: {k[0, 0]:.12f}, as they are: {alone:.12f}')
assert abs(k[0, 0] / alone - 1) < 1e-12

# %%
# With zeros in place of the mask the average counts the padding as words, and biases make
# something of it: the kernel of a review with itself depends on how much it was padded.

zeros = net.kernel_fn(np.nan_to_num(x[:60]), get='ntk')
lengths = [len(words) for words in reviews[:60]]
ax = plt.subplots(layout='constrained')[1]
ax.plot(lengths, np.diagonal(zeros) / np.diagonal(k)[:60], 's', ms=4, mfc='none',
        color='C1',
        label='padded with zeros')
ax.axhline(1, label='masked: as without padding')
ax.set(xlabel='length of the review [words], padded to 20',
       ylabel='Θ(x, x), relative to no padding')
ax.legend()
plt.show()

# %%
# Learn from 120 reviews, decide about 80.

f = predict.gp_inference(k[:120, :120], y[:120], diag_reg=1e-2)('ntk', k[120:, :120])
right = ((f > 0) == (y[120:] > 0)).mean()
print(f'{right:.0%} of 80 are right')
assert right > .85
