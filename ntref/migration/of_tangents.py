"""The table for Neural Tangents itself: names that are others here, arguments that are gone, numbers that change."""
from .rules import LOOK, Rule, rules_of

__all__ = ['RULES']

NO_SWITCHES = 'The rules of structured derivatives have no switches.'

NAMES = rules_of(
    'docs/coming-from-neural-tangents.md#what-to-change',
    *(Rule(f'neural_tangents.{name}', 'ntref.Kernel', 'It is public here.', needs='from ntref import Kernel')
      for name in ('_src.utils.kernel.Kernel', 'utils.kernel.Kernel')),
    Rule('neural_tangents._src.*', 'a public name of ntref', 'Names with an underscore are the inside of Neural '
         'Tangents.'),
    Rule('neural_tangents.utils.*', 'ntref.{last}', 'Early releases had batch, empirical functions and Monte Carlo '
         'there; they are at the top of ntref.', needs='import ntref'),
    Rule('neural_tangents.api.*', 'ntref.{last}', 'An early home of the names at the top.', needs='import ntref'),
    Rule('examples.*', 'your own {last}', 'The folder of examples of Neural Tangents is no part of either library: '
         'copy the file next to the script, and change it like this one.'),
)

FIRST_RELEASE = rules_of(
    'docs/training.md#training-what-to-call',
    *(Rule(f'neural_tangents.{old}', f'ntref.classic.{new}', 'A name of the first release: kernels of all pairs of '
           'outputs, parameters in front.', needs='import ntref.classic')
      for old, new in (('ntk', 'ntk'), ('analytic_mse_predictor', 'analytic_mse_predictor'),
                       ('gradient_descent_predictor', 'gradient_descent_predictor'),
                       ('momentum_predictor', 'momentum_predictor'), ('tangents.ntk', 'ntk'),
                       ('tangents.analytic_mse_predictor', 'analytic_mse_predictor'))),
    Rule('neural_tangents.predict.momentum', 'predict.gradient_descent(..., momentum=m)', 'A name of early releases: '
         'it takes momentum as an argument now.', needs='from ntref import predict'),
    *(Rule(f'neural_tangents.predict.{name}', 'predict.gradient_descent_mse_ensemble({all})', 'A name of early '
           'releases, of what takes a kernel_fn, x_train and y_train.', needs='from ntref import predict')
      for name in ('gradient_descent_mse_gp', 'gp_inference_mat')),
    Rule('neural_tangents.predict.gp_inference', 'predict.gradient_descent_mse_ensemble({kernel_fn}, {x_train}, '
         '{y_train})(x_test={x_test})', 'Early releases took the kernel function and the inputs here; now it takes '
         'kernels.', 'kernel_fn x_train y_train x_test', 'from ntref import predict', 'compute_cov'),
)

FINITE = rules_of(
    'docs/coming-from-neural-tangents.md#finite-networks',
    Rule('neural_tangents.empirical_implicit_ntk_fn', 'empirical_ntk_fn({all}, implementation=2)', 'An earlier name of '
         'products of the NTK with vectors.', needs='from ntref import empirical_ntk_fn'),
    Rule('neural_tangents.empirical_direct_ntk_fn', 'empirical_ntk_fn({all}, implementation=1)', 'An earlier name of '
         'the contraction of Jacobians.', needs='from ntref import empirical_ntk_fn'),
    *(Rule(f'neural_tangents.{name}', '{name} without {keyword}=', NO_SWITCHES, keyword=keyword)
      for name in ('empirical_ntk_fn', 'empirical_kernel_fn', 'monte_carlo_kernel_fn')
      for keyword in ('_j_rules', '_s_rules', '_fwd')),
    Rule('neural_tangents.monte_carlo_kernel_fn', '{name}({init_fn}, {apply_fn}, 0, {n_samples}{others})',
         'The third argument is a whole number, from which the generators of all samples come: give the '
         'number itself, no key and no generator.', 'init_fn apply_fn key n_samples'),
    Rule('neural_tangents.empirical_ntk_vp_fn', '{name}({all})', 'It has no derivative here: take the mean of '
         'empirical_kernel_fn, or products of one\'s own, where one is needed.', verdict=LOOK),
)

MASKS = rules_of(
    'docs/coming-from-neural-tangents.md#numbers-that-will-change',
    Rule('mask_constant=', '{keyword}={value}', 'Under \'VALID\' windows a position is masked here if any input under '
         'the window is: other numbers than in Neural Tangents.', verdict=LOOK),
    Rule('neural_tangents.stax.Sign', 'stax.Sign()', 'Before pools and other layers that mix positions Neural '
         'Tangents is wrong; numbers change.', verdict=LOOK),
    *(Rule(f'neural_tangents.stax.{name}', 'stax.{last}({all})', 'After an odd number of convolutions Neural Tangents '
           'is wrong; numbers change. Stored parameters of ConvLocal are in another order.', verdict=LOOK)
      for name in ('ImageResize', 'ConvLocal')),
)

LAYERS = rules_of(
    'docs/coming-from-neural-tangents.md#layers-and-networks',
    Rule('b is None', 'b == ()', 'Parameters of layers with b_std=None are (W, ()) where theirs are (W, None): this is '
         'never true.', verdict=LOOK),
    Rule('neural_tangents.stax.repeat', 'stax.repeat({all})', 'Its parameters are a list of n, where theirs are arrays '
         'with an axis n.', verdict=LOOK),
)

KERNELS = rules_of(
    'docs/coming-from-neural-tangents.md#kernel_fn-and-kernel',
    Rule('diagonal_batch=', '', 'kernel_fn has diagonal_spatial only; variances are always those of each input.'),
    Rule('is_reversed=', '', 'Positions stay in their natural order: a Kernel has no such field.'),
    Rule('.is_reversed', 'False', 'Positions stay in their natural order: a Kernel has no such field.'),
    Rule('.astuple', 'tuple({x}.asdict().values())', 'A Kernel has replace and asdict.', 'x'),
)

PREDICT = rules_of(
    'docs/coming-from-neural-tangents.md#predict',
    Rule('neural_tangents.predict.ODEState', 'predict.ODEState({all})', 'It is a named tuple here: _replace and '
         '_asdict in place of replace and asdict.', verdict=LOOK),
    Rule('neural_tangents.predict.gradient_descent', 'predict.gradient_descent({all})', 'The loss is written with '
         'autograd.numpy; predictions have no derivative here.', verdict=LOOK),
)

TILES = rules_of(
    'docs/coming-from-neural-tangents.md#batch',
    Rule('store_on_device=', '', 'It is accepted and has no effect.', verdict=LOOK),
    Rule('device_count=', '{keyword}={value}', 'Threads take the place of devices: -1 for all cores, 0 for one.',
         verdict=LOOK),
)

RULES = [*NAMES, *FIRST_RELEASE, *FINITE, *MASKS, *LAYERS, *KERNELS, *PREDICT, *TILES]
