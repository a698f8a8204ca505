r"""Self-attention over all positions: every output is an average of values, weighed by products of queries and keys.

Kernels are written as matrices whose rows and columns are the positions of the inputs. With K~ the covariance of what
queries and keys see (inputs and positions), and zeta and zeta' the weights within x and within x',

    linear scaling        K' = s zeta K_v zeta'^T + b          zeta = f(a K~), f the mechanism
    square-root scaling   K' = s a^2 <K~, K_v> K~ + b          f the identity

Derivation: docs/theory/attention.md.
"""
from dataclasses import dataclass, replace
from enum import Enum
from math import prod
from typing import Any, Callable

from ...arguments import as_whole, suggestion
from ...arrays import EXACT, kind, namespace, root_like
from ...duals.geometry import Cov
from ...recursion.positions import matrices, zipped
from ...recursion.signal import Signal
from ...recursion.start import channels_last
from ...recursion.steps import Steps
from ...types import Array, Generator, Seed, Tree
from .embedding import PositionalEmbedding, correlation, root
from .mixing import Mixing

__all__ = ['AttentionMechanism', 'GlobalSelfAttention']


def softmax(c):
    """Return exp(c) divided by its sum over the last axis."""
    xp = namespace(c)
    largest = 0 if kind(c) in EXACT else c.max(-1, keepdims=True)            # numbers of any precision have any size
    e = xp.exp(c - largest)
    return e / xp.sum(e, -1, keepdims=True)


MECHANISMS = {
    'SOFTMAX': softmax,
    'IDENTITY': lambda c: c,
    'ABS': abs,
    'RELU': lambda c: namespace(c).maximum(c, 0),
}


class AttentionMechanism(Enum):
    """The function that turns products of queries and keys into weights: softmax over the keys, or elementwise.

    `AttentionMechanism.SOFTMAX.fn()` returns the function; it takes arrays whose last axis is that of the keys.
    """
    SOFTMAX = 'SOFTMAX'
    IDENTITY = 'IDENTITY'
    ABS = 'ABS'
    RELU = 'RELU'

    def fn(self) -> Callable[[Array], Array]:
        return MECHANISMS[self.value]


@dataclass(frozen=True, repr=False)
class GlobalSelfAttention(Mixing):
    r"""Multi-head self-attention over all positions (spatial axes) of an input.

    The input h(i) has n channels at position i; h~, of n~ channels, is h or h with the embedding of the position. Then,
    for each head,

    .. math::
        G_{ij} = f\Big(\frac{\sigma_q \sigma_k}{\tilde n\, d^{\,1\text{ or }1/2}} \langle W_q \tilde h(i),
        W_k \tilde h(j)\rangle\Big), \qquad
        z(i) = \frac{\sigma_o \sigma_v}{\sqrt{H n_v d_v}} W_o \Big[\sum_j G_{ij} W_v h_v(j)\Big]_{\text{heads}}
        + \sigma_b b,

    where a key has d channels, a value has d_v, and there are H heads; h_v, of n_v channels, is h~ if `val_pos_emb` and
    h otherwise.

    With `linear_scaling` (d^1), queries and keys share their weights, W_q = W_k, and G tends to a number, zeta, as d
    grows:

    .. math::
        \zeta = f(\sigma_q \sigma_k \tilde K(x, x)), \qquad
        K' = \sigma_o^2 \sigma_v^2\, \zeta K_v \zeta'^T + \sigma_b^2, \qquad
        \Theta' = \sigma_o^2 \sigma_v^2\, \zeta \Theta_v \zeta'^T + 2 K' - \sigma_b^2 .

    Without it (d^(1/2)), queries and keys have weights of their own, and the limit is that of many heads. For f the
    identity, with sigma the product of sigma_q, sigma_k, sigma_o, sigma_v and D = sum_kl K~(k, l) K_v(k, l),

    .. math::
        K' = \sigma^2 D \tilde K + \sigma_b^2, \qquad
        \Theta' = \sigma^2 \big[(\langle\tilde K, \Theta_v\rangle + \langle K_v, \tilde\Theta\rangle) \tilde K
        + D (\tilde\Theta + 4 \tilde K)\big] + \sigma_b^2 .

    K~ is K ('NONE'), K + r R ('SUM') or (n K + m r R) / (n + m) ('CONCAT', with m channels of the embedding), where
    r = sigma_p^2; Theta~ likewise. K_v = K~ if `val_pos_emb`, K otherwise. R(i, j) = decay(sum over axes of |i - j|^p).

    An input without positions counts as one position. Masked keys have weight 0, and softmax is over the other keys.

    Parameters
    ----------
    n_chan_out : int                    channels of the output.
    n_chan_key, n_chan_val : int        d and d_v: channels of keys (and queries) and of values, of each head.
    n_heads : int                       H. These four do not affect the kernel.
    linear_scaling : bool               divide products of queries and keys by d; False: by sqrt d.
    W_key_std, W_value_std, W_query_std, W_out_std, b_std : float
                                        sigma_k, sigma_v, sigma_q, sigma_o, sigma_b; b_std=None: no bias.
    attention_mechanism : str           f: 'SOFTMAX' over the second position, 'IDENTITY', 'ABS', 'RELU'; in any case,
                                        or an `AttentionMechanism`.
    pos_emb_type : str                  'NONE', 'SUM', 'CONCAT', or a `PositionalEmbedding`. The arguments below have
                                        no effect with 'NONE'.
    pos_emb_p_norm : float              p > 0: distances are sums of p-th powers, without a root.
    pos_emb_decay_fn : callable, optional
        Covariance of the embeddings as a function of the distance, elementwise, such as `lambda d: 1 / (1 + d)`.
        None: embeddings of different positions are independent.
    n_chan_pos_emb : int, optional      m; None: n. With 'SUM' it has to be n.
    W_pos_emb_std : float               sigma_p.
    val_pos_emb : bool                  True if values see the positions, too.
    batch_axis, channel_axis : int

    Raises
    ------
    NotImplementedError : `kernel_fn` with linear_scaling=False and a mechanism other than 'IDENTITY': no closed form is
        known. `apply_fn` works.
    ValueError : an unknown name; numbers of channels below 1; n_chan_pos_emb that differs from n with 'SUM';
        diagonal_spatial=True; a pos_emb_decay_fn that gives no covariance (it is not positive semi-definite): in
        `apply_fn` always, in `kernel_fn` if it is a part of K', which it is with val_pos_emb or linear_scaling=False.
    TypeError : a pos_emb_decay_fn that is not a function; linear_scaling or val_pos_emb other than True and False.

    Accuracy
    --------
    K and Theta are accurate to rounding. The gap is recovered by subtraction, as after `AvgPool` (docs/accuracy.md);
    docs/theory/attention.md#gap says what that costs where attention is nearly the same at all positions.

    Source
    ------
    Hron et al. 2020 (arXiv:2006.10540) sections 3 and 4; docs/theory/attention.md.

    Examples
    --------
    >>> import numpy
    >>> GlobalSelfAttention(8, 4, 4, 2).kernel_fn(numpy.array([[[1.], [1.]]]), get='ntk')
    array([[[[2., 2.],
             [2., 2.]]]])
    """
    n_chan_out: int
    n_chan_key: int
    n_chan_val: int
    n_heads: int
    linear_scaling: bool = True
    W_key_std: float = 1.
    W_value_std: float = 1.
    W_query_std: float = 1.
    W_out_std: float = 1.
    b_std: float | None = None
    attention_mechanism: str = 'SOFTMAX'
    pos_emb_type: str = 'NONE'
    pos_emb_p_norm: float = 2
    pos_emb_decay_fn: Callable | None = None
    n_chan_pos_emb: int | None = None
    W_pos_emb_std: float = 1.
    val_pos_emb: bool = False
    batch_axis: int = 0
    channel_axis: int = -1

    def __post_init__(self):
        super().__post_init__()
        counts = ['n_chan_out', 'n_chan_key', 'n_chan_val', 'n_heads']
        if self.n_chan_pos_emb is not None:
            counts.append('n_chan_pos_emb')
        values = {name: as_whole(getattr(self, name), f'{self.name}: {name}', 1) for name in counts}
        values['attention_mechanism'] = _named(self, 'attention_mechanism', AttentionMechanism)
        values['pos_emb_type'] = _named(self, 'pos_emb_type', PositionalEmbedding)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        if not self.pos_emb_p_norm > 0:
            raise ValueError(
                f'{self.name}: expected pos_emb_p_norm > 0, got {self.pos_emb_p_norm}.')
        if self.pos_emb_decay_fn is not None and not callable(self.pos_emb_decay_fn):
            raise TypeError(
                f'{self.name}: pos_emb_decay_fn is expected to be a function, got '
                f'{self.pos_emb_decay_fn!r}.')

    @property
    def formula(self):
        if self.linear_scaling:
            return (r"K_+ = \sigma_o^2 \sigma_v^2 \zeta K \zeta'^T + \sigma_b^2,\quad "
                    r"\Theta_+ = \sigma_o^2 \sigma_v^2 \zeta \Theta \zeta'^T + 2 K_+ - \sigma_b^2,\quad "
                    r'\zeta = f(\sigma_q \sigma_k \tilde K(x, x))')
        return (r'K_+ = \sigma^2 D \tilde K + \sigma_b^2,\quad D = \langle\tilde K, K\rangle,\quad \Theta_+ = \sigma^2 '
                r'((\langle\tilde K, \Theta\rangle + \langle K, \tilde \Theta\rangle) \tilde K '
                r'+ D (\tilde \Theta + 4 \tilde K)) + \sigma_b^2')

    # -------------------------------------------------------------- what finite and infinite networks share

    @property
    def _mechanism(self):
        """The function f that turns products of queries and keys into weights."""
        return AttentionMechanism[self.attention_mechanism].fn()

    def _weights(self, c, mask=None):
        """Return f(c) for products c (n, ..., queries, keys), and 0 where `mask` (n, *positions) masks the key."""
        if mask is None:
            return self._mechanism(c)
        xp = namespace(c)
        mask = mask.reshape(len(c), *[1] * (c.ndim - 2), c.shape[-1])
        G = xp.where(mask, 0, self._mechanism(xp.where(mask, c.min(-1, keepdims=True), c)))
        if self.attention_mechanism != 'SOFTMAX':
            return G
        total = xp.sum(G, -1, keepdims=True)
        return G / xp.where(total == 0, 1, total)

    def _embedding_channels(self, n):
        """Return m, the channels of the embedding, for inputs of n channels."""
        return n if self.n_chan_pos_emb is None else self.n_chan_pos_emb

    def _correlation(self, like, sizes):
        """Return R, the covariance of the embeddings, in the kind and precision of the array `like`."""
        return correlation(self.pos_emb_decay_fn, self.pos_emb_p_norm, sizes, like)

    def out(self, signal: Signal) -> Signal:
        m = self._embedding_channels(signal.channels)
        if self.pos_emb_type == 'SUM' and m != signal.channels:
            raise ValueError(
                f"expected n_chan_pos_emb to be {signal.channels}, the channels of shape "
                f"{signal.shape}, with pos_emb_type='SUM', got {self.n_chan_pos_emb}. Leave it "
                "out, or use 'CONCAT'.")
        return replace(signal.with_channels(self.n_chan_out), is_gaussian=True)

    @property
    def in_tiles(self):
        # a function of the user may not be safe in threads
        return self.pos_emb_type == 'NONE' or self.pos_emb_decay_fn is None

    # -------------------------------------------------------------- the finite network

    def _shapes(self, signal):
        """Return the shapes of W_q, W_k, W_v (heads first), W_o, b and the embeddings.

        The shape of a parameter that the layer does not have is None.
        """
        batch = signal.axes.batch
        channel = signal.axes.channel
        n = signal.channels
        m = self._embedding_channels(n)
        seen = n + m if self.pos_emb_type == 'CONCAT' else n
        key = (self.n_heads, seen, self.n_chan_key)
        value = (self.n_heads, seen if self.val_pos_emb else n, self.n_chan_val)
        out = (self.n_heads * self.n_chan_val, self.n_chan_out)
        bias = [1] * len(signal.shape)
        bias[channel] = self.n_chan_out
        embedding = list(signal.shape)
        embedding[batch] = 1
        embedding[channel] = m
        return [
            None if self.linear_scaling else key,
            key,
            value,
            out,
            None if self.b_std is None else bias,
            None if self.pos_emb_type == 'NONE' else embedding,
        ]

    def init(self, rng: Generator, signal: Signal) -> Tree:
        shapes = self._shapes(signal)
        return tuple(() if shape is None else rng.standard_normal(shape) for shape in shapes)

    def apply(self, params: Tree, x: Array, rng: Seed | None = None, mask: Array | None = None,
              **given: Any) -> Array:
        W_q, W_k, W_v, W_o, b, E = self.parts(params, 6)
        xp = namespace(x, W_k)
        signal = Signal(tuple(x.shape), self.axes.of(x.ndim))
        for W, shape in zip(params, self._shapes(signal)):
            if shape is not None:
                self.check_weights(W, shape, signal)
        h = channels_last(x, signal.axes)
        h = h.reshape(len(h), prod(signal.positions), signal.channels)
        seen = self._with_positions(h, E, signal)
        values = seen if self.val_pos_emb else h
        G = self._attention(seen, W_q, W_k, mask)
        # the head runs fastest along the rows of W_o, as in Neural Tangents
        heads = xp.moveaxis(xp.matmul(G, xp.matmul(values[:, None], W_v)), 1, -1)
        heads = heads.reshape(len(h), *signal.positions, W_o.shape[0])
        N = W_o.shape[0] * values.shape[-1]
        z = self.W_out_std * self.W_value_std / root_like(N, W_o) * xp.matmul(heads, W_o)
        z = xp.moveaxis(z, (0, -1), (signal.axes.batch, signal.axes.channel))
        return z if self.b_std is None else z + self.b_std * b

    def _attention(self, seen, W_q, W_k, mask):
        """Return G (N, heads, queries, keys) of what queries and keys see (N, positions, channels)."""
        xp = namespace(seen, W_k)
        keys = xp.matmul(seen[:, None], W_k)                    # (N, heads, positions, d)
        queries = keys if self.linear_scaling else xp.matmul(seen[:, None], W_q)
        d = self.n_chan_key if self.linear_scaling else root_like(self.n_chan_key, keys)
        a = self.W_query_std * self.W_key_std / (seen.shape[-1] * d)
        return self._weights(a * xp.matmul(queries, xp.moveaxis(keys, -1, -2)), mask)

    def _with_positions(self, h, E, signal):
        """Return what queries and keys see of inputs h (N, positions, channels), with the embeddings E."""
        if self.pos_emb_type == 'NONE':
            return h
        xp = namespace(h, E)
        E = channels_last(E, signal.axes)
        R = self._correlation(h, E.shape[1:-1])
        E = E.reshape(h.shape[1], E.shape[-1])
        E = self.W_pos_emb_std * (E if self.pos_emb_decay_fn is None else xp.matmul(root(R), E))
        if self.pos_emb_type == 'SUM':
            return h + E
        return xp.concatenate([h, xp.broadcast_to(E, (len(h), *E.shape))], -1)

    # -------------------------------------------------------------- the infinite network

    def check(self, signal: Signal) -> None:
        super().check(signal)
        if not self.linear_scaling and self.attention_mechanism != 'IDENTITY':
            raise NotImplementedError(
                f"{self!r} has no kernel in closed form: with linear_scaling=False the products of "
                f"queries and keys stay random, and their {self.attention_mechanism} has no known "
                "covariance. Use linear_scaling=True, or attention_mechanism='IDENTITY', or the "
                "mean over finite networks (init_fn, apply_fn).")

    def kernel(self, k: Steps) -> Steps:
        self._check_layout(k)
        sizes = k.nngp.shape[k.batch_axes::2]
        b = 0 if self.b_std is None else self.b_std ** 2
        R = None
        if self.pos_emb_type != 'NONE':
            R = self._correlation(k.nngp, sizes)
            if self.pos_emb_decay_fn is not None and (self.val_pos_emb or not self.linear_scaling):
                root(R)                                    # R is part of K', not only of the weights

        def seen(c):
            """Map K to K~ as matrices: positions of x are rows, positions of x' are columns."""
            return self._joined(matrices(c, len(sizes)), R, k.signals[0].channels)

        def valued(c):
            """Map K to K_v."""
            return seen(c) if self.val_pos_emb else matrices(c, len(sizes))

        def laid_out(c):
            c = zipped(c, sizes, sizes)
            return c.reshape(prod(c.shape)).reshape(c.shape)
        step = self._averaged if self.linear_scaling else self._multiplied
        met = k.meetings()
        return step(k, seen, valued, laid_out, b).meeting(met)

    def _joined(self, K, R, n):
        """Return K~ for the covariance K of inputs with n channels."""
        if self.pos_emb_type == 'NONE':
            return K
        r = self.W_pos_emb_std ** 2
        m = self._embedding_channels(n)
        return K + r * R if self.pos_emb_type == 'SUM' else (n * K + m * (r * R)) / (n + m)

    def _averaged(self, k, seen, valued, laid_out, b):
        """zeta = f(a K~),  K' = s zeta K_v zeta'^T + b,  Theta' = s zeta Theta_v zeta'^T + 2 K' - b."""
        a = self.W_query_std * self.W_key_std
        s = (self.W_out_std * self.W_value_std) ** 2
        zetas = k.sides(*k.within(lambda c, mask: self._weights(a * seen(c), mask)))
        each = iter(zetas)

        def average(c, zeta, other):
            xp = namespace(c)
            return laid_out(s * xp.matmul(xp.matmul(zeta, valued(c)), xp.moveaxis(other, -1, -2)))
        new = k.map(lambda p: Cov(average(p.k, *next(each)) + b))
        if k.ntk is None:
            return new
        return new.but(ntk=average(k.finished().ntk, *zetas[0]) + 2 * new.nngp - b)

    def _multiplied(self, k, seen, valued, laid_out, b):
        """D = <K~, K_v>,  K' = s D K~ + b,  Theta' = s [(<K~, Theta_v> + <K_v, Theta~>) K~ + D (Theta~ + 4 K~)] + b."""
        s = (self.W_query_std * self.W_key_std * self.W_out_std * self.W_value_std) ** 2
        hidden = _hidden(k)
        each = iter(hidden)

        def inner(c, d, hidden=hidden[0]):
            xp = namespace(c)
            products = c * d if hidden is None else xp.where(hidden, 0, c * d)
            return xp.sum(products, (-2, -1), keepdims=True)

        def cov(p):
            D = inner(seen(p.k), valued(p.k), next(each))
            return Cov(laid_out(s * D * seen(p.k)) + b)
        new = k.map(cov)
        if k.ntk is None:
            return new
        theta = k.finished().ntk
        K = seen(k.nngp)
        K_v = valued(k.nngp)
        T = seen(theta)
        T_v = valued(theta)
        D = inner(K, K_v)
        ntk = s * ((inner(K, T_v) + inner(K_v, T)) * K + D * (T + 4 * K))
        return new.but(ntk=laid_out(ntk) + b)


def _hidden(k):
    """Return where either position of a pair is masked, as matrices, for the pairings of `map`.

    Without masks each of them is None.
    """
    if k.mask1 is None:
        return [None] * 3
    flat = (mask.reshape(len(mask), prod(mask.shape[1:])) for mask in (k.mask1, k.mask2))
    return [left[..., :, None] | right[..., None, :] for left, right in k.sides(*flat)]


def _named(layer, name, names):
    """Return the argument `name` as one of `names`, given in any case or as a member of the enumeration."""
    given = getattr(layer, name)
    text = given.value if isinstance(given, names) else given
    if not isinstance(text, str) or text.upper() not in names.__members__:
        raise ValueError(
            f'{layer.name}: expected {name} to be one of {", ".join(names.__members__)}, got '
            f'{given!r:.100}.{suggestion(text, names.__members__)}')
    return text.upper()
