"""The table for JAX: its transformations, control flow, random numbers, trees and devices."""
from .rules import LOOK, STOP, Rule, rules_of

__all__ = ['RULES']

NUMPY, FROM_AUTOGRAD = 'import numpy', 'from autograd import '
NO_DEVICES = 'Arrays are NumPy\'s, in memory: nothing is moved, and nothing has to be waited for.'
NOT_COMPILED = 'Nothing is compiled here; NumPy computes when it is called.'
IN_PLACE = ('NumPy writes into arrays. Where autograd follows, write numpy.where(mask, new, x) instead: assignments '
            'that it would have to follow raise.')
GENERATOR = 'Other numbers than JAX\'s; the generator moves on, so that the same call again gives others.'
LOOP = 'autograd follows loops and conditions of Python.'
RULE_OF_ITS_OWN = 'from autograd.extend import primitive, defvjp'
TREES = 'from ntref.trees import '

CHANGES = rules_of(
    'docs/coming-from-neural-tangents.md#what-to-change',
    Rule('jax.jit', '{f}', NOT_COMPILED, 'f'),
    Rule('jax.pmap', '{f}', NOT_COMPILED + ' Kernels are computed in threads by ntref.batch.', 'f'),
    Rule('jax.checkpoint', '{f}', NOT_COMPILED, 'f'),
    Rule('jax.remat', '{f}', NOT_COMPILED, 'f'),
    Rule('jax.named_call', '{f}', NOT_COMPILED, 'f'),
    Rule('jax.disable_jit', '', NOT_COMPILED),
    Rule('jax.make_jaxpr', '', NOT_COMPILED),
    Rule('jax.profiler.*', '', NOT_COMPILED),
    Rule('jax.config.*', '', 'There are no flags: the precision is that of the arrays, float64 for whole numbers. '
         'float32 data stay float32, which the flag jax_enable_x64 had not changed either, unless they went through '
         'jax.numpy: write x.astype(float).'),
    Rule('jax.enable_x64', '', 'float64 in, float64 out.'),
    Rule('jax.experimental.enable_x64', '', 'float64 in, float64 out.'),
    Rule('.block_until_ready', '{x}', NO_DEVICES, 'x'),
    Rule('jax.block_until_ready', '{x}', NO_DEVICES, 'x'),
    Rule('jax.device_get', '{x}', NO_DEVICES, 'x'),
    Rule('jax.device_put', '{x}', NO_DEVICES, 'x'),
    Rule('jax.device_put_replicated', '{x}', NO_DEVICES, 'x'),
    Rule('jax.device_count', 'os.cpu_count()', 'Threads take the place of devices: batch(..., device_count=-1) takes '
         'all cores, 0 takes one.', needs='import os'),
    Rule('jax.local_device_count', 'os.cpu_count()', 'Threads take the place of devices.', needs='import os'),
    Rule('jax.devices', '[0]', 'There is one machine; ntref.batch takes its threads.'),
    Rule('jax.local_devices', '[0]', 'There is one machine; ntref.batch takes its threads.'),
    Rule('jax.default_backend', "'cpu'", NO_DEVICES),
    Rule('jax.lib.xla_bridge.*', "'cpu'", NO_DEVICES),
    Rule('jax.debug.print', 'print({all})', 'Functions run as they stand.'),
    Rule('jax.Array', 'numpy.ndarray', 'Arrays are NumPy\'s.', needs=NUMPY),
)

PIECES = rules_of(
    'docs/coming-from-neural-tangents.md#jax-piece-by-piece',
    Rule('jax.grad', 'grad({f}, argnum=...)', 'autograd has one argument argnum, a number or a tuple; argnums is a '
         'TypeError.', 'f', FROM_AUTOGRAD + 'grad', 'argnums'),
    Rule('jax.grad', 'grad_and_aux({f})', 'It gives (gradient, aux), as grad of JAX does with has_aux.', 'f',
         FROM_AUTOGRAD + 'grad_and_aux', 'has_aux'),
    Rule('jax.value_and_grad', 'value_and_grad({f}, argnum=...)', 'autograd has one argument argnum.', 'f',
         FROM_AUTOGRAD + 'value_and_grad', 'argnums'),
    Rule('jax.value_and_grad', 'grad_and_aux({f})', 'There is no such pair with aux: let the function return (value, '
         '(value, aux)), and take the gradient and both from grad_and_aux.', 'f', FROM_AUTOGRAD + 'grad_and_aux',
         'has_aux'),
    *(Rule(name, 'jacobian({f})', 'The same axes; of one array, so of parameters after flatten.', 'f',
           FROM_AUTOGRAD + 'jacobian')
      for name in ('jax.jacobian', 'jax.jacrev', 'jax.jacfwd')),
    Rule('jax.jvp', 'make_jvp({f})(*{primals})(*{tangents})', 'It gives (value, tangent), as JAX. Of two arguments '
         'it is make_jvp(f, (0, 1))(x, y)((v, w)).', 'f primals tangents', FROM_AUTOGRAD + 'make_jvp'),
    Rule('jax.vjp', 'make_vjp({f})({x})', 'The pair comes in the other order, (pull, value), and pull(v) gives an '
         'array, where JAX gives a tuple.', 'f x', FROM_AUTOGRAD + 'make_vjp'),
    Rule('jax.linearize', 'make_jvp({f})({x})', 'Called with v it gives (value, tangent). Networks have '
         'ntref.linearize.', 'f x', FROM_AUTOGRAD + 'make_jvp'),
    Rule('jax.vmap', '(lambda xs: numpy.stack([({f})(x) for x in xs]))', 'Better a function that is written for a '
         'batch: kernels, networks and NumPy take one. Of gradients entry by entry it is elementwise_grad.', 'f',
         NUMPY),
    Rule('jax.custom_vjp', 'primitive({f})', 'autograd has rules of one\'s own by primitive and defvjp.', 'f',
         RULE_OF_ITS_OWN),
    Rule('jax.custom_jvp', 'primitive({f})', 'autograd has rules of one\'s own by primitive, defvjp and defjvp.', 'f',
         RULE_OF_ITS_OWN),
    Rule('jax.custom_gradient', 'primitive({f})', 'autograd has rules of one\'s own by primitive and defvjp.', 'f',
         RULE_OF_ITS_OWN),
    *(Rule(f'.at.{name}', f'x = {{x}}.copy(); x[{{i}}] {sign}= {{v}}', IN_PLACE, 'x i v') for name, sign in (
        ('set', ''), ('multiply', '*'), ('divide', '/'), ('power', '**'))),
    Rule('.at.add', 'x = {x}.copy(); numpy.add.at(x, numpy.s_[{i}], {v})',
         IN_PLACE + ' x[i] += v counts a repeated index once.', 'x i v', NUMPY),
    Rule('.at.min', 'x = {x}.copy(); numpy.minimum.at(x, numpy.s_[{i}], {v})', IN_PLACE, 'x i v', NUMPY),
    Rule('.at.max', 'x = {x}.copy(); numpy.maximum.at(x, numpy.s_[{i}], {v})', IN_PLACE, 'x i v', NUMPY),
    Rule('.at.get', '{x}[{i}]', 'Indexing. NumPy raises for an index beyond the end.', 'x i'),
    Rule('.at.apply', 'x = {x}.copy(); x[{i}] = {f}(x[{i}])', IN_PLACE, 'x i f'),
    Rule('jax.ops.index_update', 'x = {x}.copy(); x[{i}] = {v}', IN_PLACE, 'x i v'),
    Rule('jax.ops.index_add', 'x = {x}.copy(); numpy.add.at(x, numpy.s_[{i}], {v})', IN_PLACE, 'x i v', NUMPY),
    Rule('jax.ops.index', 'numpy.s_', 'The same.', needs=NUMPY),
    Rule('jax.ops.segment_sum', 'x = numpy.zeros(...); numpy.add.at(x, numpy.s_[{i}], {v})',
         'NumPy adds at repeated indices.', 'v i', NUMPY),
    # control flow
    Rule('jax.lax.scan', 'for x in {xs}: carry, y = ({f})(carry, x)', LOOP + ' numpy.stack of the list of y is the '
         'second result.', 'f init xs'),
    Rule('jax.lax.fori_loop', 'for i in range({lower}, {upper}): x = ({f})(i, x)', LOOP + ' x begins as the last '
         'argument.', 'lower upper f x'),
    Rule('jax.lax.while_loop', 'while ({condition})(x): x = ({f})(x)', LOOP + ' x begins as the last argument.',
         'condition f x'),
    Rule('jax.lax.cond', '({true})({x}) if {condition} else ({false})({x})', LOOP, 'condition true false x'),
    Rule('jax.lax.switch', '{branches}[{i}]({x})', LOOP, 'i branches x'),
    Rule('jax.lax.map', 'numpy.stack([({f})(x) for x in {xs}])', LOOP, 'f xs', NUMPY),
    Rule('jax.lax.stop_gradient', 'getval({x})', 'The plain number or array in a box of autograd.', 'x',
         'from autograd.tracer import getval'),
    Rule('jax.lax.rsqrt', '1 / numpy.sqrt({x})', 'The same.', 'x', NUMPY),
    Rule('jax.lax.select', 'numpy.where({mask}, {a}, {b})', 'The same.', 'mask a b', NUMPY),
    Rule('jax.lax.Precision.*', 'None', 'NumPy multiplies in the precision of its arrays.'),
    Rule('jax.lax.*', 'numpy.{last}', 'NumPy has most of these, some under another name; convolutions are '
         'stax.Conv(...).apply_fn.', needs=NUMPY),
    # nonlinearities
    Rule('jax.nn.relu', 'numpy.maximum({x}, 0)', 'The derivative at 0 is 1/2 here and 0 of jax.nn.relu.', 'x', NUMPY),
    Rule('jax.nn.relu6', 'numpy.clip({x}, 0, 6)', 'The same.', 'x', NUMPY),
    Rule('jax.nn.leaky_relu', 'numpy.where({x} >= 0, {x}, {slope} * {x})', 'The same.', 'x slope=0.01', NUMPY),
    Rule('jax.nn.elu', 'numpy.where({x} > 0, {x}, numpy.expm1(numpy.minimum({x}, 0)))', 'The same.', 'x', NUMPY),
    Rule('jax.nn.tanh', 'numpy.tanh({x})', 'The same.', 'x', NUMPY),
    Rule('jax.nn.gelu', 'stax.Gelu(approximate=True).apply_fn((), {x})', 'JAX\'s default is the approximation; that of '
         'stax.Gelu() is exact.', 'x', 'from ntref import stax'),
    Rule('jax.nn.silu', '{x} * expit({x})', 'The same.', 'x', 'from autograd.scipy.special import expit'),
    Rule('jax.nn.swish', '{x} * expit({x})', 'The same.', 'x', 'from autograd.scipy.special import expit'),
    Rule('jax.nn.sigmoid', 'expit({x})', 'The same.', 'x', 'from autograd.scipy.special import expit'),
    Rule('jax.nn.softplus', 'numpy.logaddexp({x}, 0)', 'The same.', 'x', NUMPY),
    Rule('jax.nn.log_softmax', '{x} - logsumexp({x}, axis=-1, keepdims=True)', 'The same, over the last axis.', 'x',
         'from autograd.scipy.special import logsumexp'),
    Rule('jax.nn.softmax', 'numpy.exp({x} - logsumexp({x}, axis=-1, keepdims=True))', 'The same, over the last axis.',
         'x', 'from autograd.scipy.special import logsumexp'),
    Rule('jax.nn.logsumexp', 'logsumexp({all})', 'The same.', needs='from autograd.scipy.special import logsumexp'),
    Rule('jax.nn.one_hot', 'numpy.eye({num_classes})[{x}]', 'The same, for labels from 0 on.', 'x num_classes', NUMPY),
    Rule('jax.nn.*', 'its formula with numpy', 'autograd differentiates formulas of NumPy.', needs=NUMPY),
    # scipy
    Rule('jax.scipy.linalg.solve', 'numpy.linalg.solve({a}, {b})', 'That of SciPy has no derivative; it takes assume_a '
         'where none is needed.', 'a b', NUMPY),
    Rule('jax.scipy.linalg.cho_factor', 'scipy.linalg.cho_factor({all})', 'It has no derivative, and raises: where '
         'autograd follows, take numpy.linalg.cholesky and autograd.scipy.linalg.solve_triangular.',
         needs='import scipy.linalg'),
    Rule('jax.scipy.linalg.cho_solve', 'scipy.linalg.cho_solve({all})', 'It has no derivative, and raises: where '
         'autograd follows, take autograd.scipy.linalg.solve_triangular twice.', needs='import scipy.linalg'),
    Rule('jax.scipy.linalg.cholesky', 'numpy.linalg.cholesky({a})', 'Lower by default, where that of JAX\'s scipy is '
         'upper: transpose it.', 'a', NUMPY),
    Rule('jax.scipy.linalg.solve_triangular', 'solve_triangular({all})', 'The same.',
         needs='from autograd.scipy.linalg import solve_triangular'),
    Rule('jax.scipy.linalg.*', 'scipy.linalg.{last}', 'SciPy\'s has no derivative.', needs='import scipy.linalg'),
    # trees
    *(Rule(name, 'tree_map({all})', 'Trees of tuples, lists and dicts; None is an empty one.', needs=TREES + 'tree_map')
      for name in ('jax.tree_map', 'jax.tree_multimap', 'jax.tree.map', 'jax.tree_util.tree_map',
                   'jax.tree_util.tree_multimap')),
    *(Rule(name, 'leaves({tree})', 'Trees of tuples, lists and dicts.', 'tree', TREES + 'leaves')
      for name in ('jax.tree_leaves', 'jax.tree.leaves', 'jax.tree_util.tree_leaves')),
    *(Rule(name, 'flatten({tree})', 'It gives (vector, unflatten); unflatten(vector) is the tree again.', 'tree',
           'from autograd.misc import flatten')
      for name in ('jax.flatten_util.ravel_pytree', 'jax.tree_flatten', 'jax.tree.flatten',
                   'jax.tree_util.tree_flatten')),
    Rule('jax.tree_util.*', 'tuples, lists, dicts and named tuples', 'Trees are of these; other classes cannot be '
         'registered.'),
)

KEYS = rules_of(
    'docs/coming-from-neural-tangents.md#jax-piece-by-piece',
    Rule('jax.random.PRNGKey', 'numpy.random.default_rng({seed})', 'A generator takes the place of a key, in init_fn '
         'too. ' + GENERATOR, 'seed', NUMPY),
    Rule('jax.random.key', 'numpy.random.default_rng({seed})', GENERATOR, 'seed', NUMPY),
    Rule('jax.random.split', '{key}.spawn({num})', 'Generators that are independent of each other.', 'key num=2'),
    Rule('jax.random.fold_in', 'numpy.random.default_rng(({key}, {data}))', 'Of a seed, not of a generator.',
         'key data', NUMPY),
    Rule('jax.random.normal', '{key}.standard_normal({shape})', GENERATOR, 'key shape=()'),
    Rule('jax.random.uniform', '{key}.uniform({minval}, {maxval}, {shape})', GENERATOR,
         'key shape=() dtype minval=0 maxval=1'),
    Rule('jax.random.randint', '{key}.integers({minval}, {maxval}, {shape})', GENERATOR, 'key shape minval maxval'),
    Rule('jax.random.permutation', '{key}.permutation({x})', GENERATOR, 'key x'),
    Rule('jax.random.shuffle', '{key}.permutation({x})', GENERATOR, 'key x'),
    Rule('jax.random.bernoulli', '{key}.random({shape}) < {p}', GENERATOR, 'key p=0.5 shape=()'),
    Rule('jax.random.choice', '{key}.choice({a}, {shape}, {replace})', GENERATOR, 'key a shape=() replace=True'),
    Rule('jax.random.multivariate_normal', '{key}.multivariate_normal({mean}, {cov})', GENERATOR + ' Predictions have '
         'ntref.predict.sample, without jitter.', 'key mean cov'),
    Rule('jax.random.categorical', '{key}.choice(n, p=...)', GENERATOR + ' It takes probabilities, no logits.',
         'key logits'),
    Rule('jax.random.truncated_normal', 'scipy.stats.truncnorm.rvs(..., random_state={key})', GENERATOR, 'key',
         'import scipy.stats'),
    Rule('jax.random.*', 'a method of numpy.random.Generator', GENERATOR, needs=NUMPY),
)

TRIPLES = rules_of(
    'docs/training-finite-networks.md#loops-written-for-jax',
    Rule('jax.example_libraries.optimizers.sgd', 'sgd({step_size})', 'Copy sgd from that page: it gives the three '
         'functions opt_init, opt_update, get_params. The sgd of autograd is another method: momentum 0.9 unless told '
         'otherwise, and it scales the gradient.', 'step_size', TREES + 'tree_map'),
    Rule('jax.example_libraries.optimizers.momentum', 'momentum({step_size}, {mass})', 'Copy momentum from that page: '
         'it gives the three functions. autograd\'s has another scale.', 'step_size mass', TREES + 'tree_map'),
    Rule('jax.example_libraries.optimizers.adam', 'adam({step_size})', 'Copy adam from that page: it gives the three '
         'functions.', 'step_size', TREES + 'tree_map'),
    Rule('jax.example_libraries.optimizers.*', 'a loop over tree_map', 'An optimizer is a few lines over trees of '
         'parameters, like those of that page.', needs=TREES + 'tree_map'),
    Rule('optax.*', 'a loop over grad(loss)(params)', 'optax works on arrays of JAX. An optimizer is a few lines over '
         'trees of parameters; autograd.misc.optimizers.sgd is another method, with momentum 0.9 unless told '
         'otherwise.', needs=TREES + 'tree_map'),
    Rule('jaxopt.*', 'a loop over grad(loss)(params), or scipy.optimize', 'jaxopt works on arrays of JAX.'),
)

NO_PORT = rules_of(
    'docs/coming-from-neural-tangents.md#what-cannot-be-ported',
    *(Rule(f'{name}.*', 'the forward function with autograd.numpy', 'autograd cannot follow it. Copy the parameters, '
           'numpy.asarray of each, and write apply_fn(params, x) again.', verdict=STOP)
      for name in ('flax', 'haiku', 'equinox', 'trax', 'objax', 'neural_tangents.experimental')),
    *(Rule(f'jax.{name}.*', 'threads, or Dask', 'There are no meshes of devices here: ntref.batch takes threads or a '
           'Dask client.', verdict=STOP)
      for name in ('sharding', 'experimental.maps', 'experimental.pjit', 'experimental.mesh_utils',
                   'experimental.shard_map', 'distributed')),
    *(Rule(f'jax.{name}.*', 'NumPy', 'That is the inside of JAX, which has no counterpart.', verdict=STOP)
      for name in ('core', 'interpreters', 'linear_util', 'extend', 'ffi', 'experimental.host_callback', 'experimental.'
                   'pallas')),
    Rule('jax.experimental.ode.*', 'scipy.integrate.solve_ivp', 'SciPy integrates; it has no derivative.',
         verdict=STOP),
)

FINITE = rules_of(
    'docs/coming-from-neural-tangents.md#layers-and-networks',
    *(Rule(f'jax.example_libraries.stax.{name}', f'stax.{name}()', 'Layers are called here. Weights are N(0, 1) with '
           'their scale in the layer, so rates and numbers are others.', needs='from ntref import stax')
      for name in ('Relu', 'Tanh', 'Sigmoid', 'Elu', 'Exp', 'Gelu', 'Selu', 'Softplus', 'Identity', 'Flatten',
                   'FanInSum')),
    *(Rule(f'jax.example_libraries.stax.{name}', 'a layer of one\'s own, or a function after apply_fn', 'It has no '
           'kernel in closed form.') for name in ('BatchNorm', 'LogSoftmax', 'Softmax', 'MaxPool')),
    Rule('jax.example_libraries.stax.*', 'stax.{last}({all})', 'Weights are N(0, 1) with their scale in the layer, so '
         'rates and numbers are others.', needs='from ntref import stax', verdict=LOOK),
)

RULES = [*CHANGES, *PIECES, *KEYS, *TRIPLES, *NO_PORT, *FINITE]
