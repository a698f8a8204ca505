"""The house rules, read off the sources: who imports whom, where NumPy stands, how long things are, import time."""
import ast
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT, TESTS
from profiles import LONG, SAMPLED

import ntref
from ntref.stax import Layer

PACKAGE = Path(ntref.__file__).parent
PAGES = sorted({*ROOT.glob('*.md'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'validation').rglob('*.md'),
                *TESTS.rglob('*.md')})
SOURCES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path for path in sorted(PACKAGE.rglob('*.py'))}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}

ALLOWED = {
    # the base: arrays of every kind, expectations, and what both are good for
    'types': {},
    'tuples': {},
    'no_arrays': {},
    'arrays': {'no_arrays', 'types'},
    'of_mpmath': {'arrays'},
    'balls': {'arrays', 'of_mpmath'},
    'symbols': {'arrays'},
    'einsums': {'arrays'},
    'in_place': {'arrays', 'types'},
    'autograd_on_device': {'arrays', 'einsums', 'in_place'},
    'ranges': {'arrays'},
    'arguments': {'arrays', 'no_arrays', 'types'},
    'derivatives': {'arrays'},
    'trees': {'types'},
    'quadrature.panels': {'no_arrays'},
    'quadrature.expectation': {'quadrature.panels'},
    'quadrature.kinks': {'quadrature.expectation', 'quadrature.panels'},
    'quadrature.__init__': {'quadrature.expectation', 'quadrature.kinks', 'quadrature.panels'},
    'once': {},
    'drawing': {},
    'duals.geometry': {'arrays', 'derivatives', 'once', 'types'},
    'duals.angle': {'types'},
    'duals.on_device': {'types', 'duals.angle', 'duals.geometry'},
    'duals.pair': {'arrays', 'derivatives', 'in_place', 'ranges', 'types', 'duals.geometry'},
    'duals.written': {'arrays', 'in_place', 'symbols', 'types', 'duals.geometry', 'duals.on_device', 'duals.pair'},
    'duals.gaps': {'arrays', 'derivatives', 'types', 'duals.geometry', 'duals.pair'},
    'duals.smooth_gaps': {'arrays', 'types', 'duals.geometry', 'duals.pair'},
    'duals.watched': {'arrays', 'derivatives', 'types', 'duals.geometry', 'duals.pair'},
    'duals.partials': {'arrays', 'types', 'duals.angle', 'duals.gaps', 'duals.geometry', 'duals.watched'},
    'duals.closed_form': {'arrays', 'derivatives', 'types', 'duals.gaps', 'duals.geometry', 'duals.pair',
                          'duals.partials', 'duals.smooth_gaps', 'duals.watched'},
    'duals.__init__': {'duals.closed_form', 'duals.geometry', 'duals.pair'},
    'cov': {'duals'},
    'duals.price': {'derivatives', 'types', 'duals.pair'},
    'duals.series': {'arrays', 'in_place', 'types', 'duals.geometry', 'duals.pair', 'duals.price'},
    'duals.truncated': {'arrays', 'types', 'duals.geometry', 'duals.pair', 'duals.price'},
    'duals.exponential_unit': {'arrays', 'types', 'duals.geometry', 'duals.pair', 'duals.price', 'duals.truncated'},
    'duals.generic': {'in_place', 'ranges', 'types', 'duals.angle', 'duals.gaps', 'duals.geometry', 'duals.pair'},
    'duals.fast': {'arrays', 'duals', 'in_place', 'types', 'duals.angle', 'duals.generic', 'duals.geometry',
                   'duals.on_device', 'duals.pair', 'duals.written'},
    'windows_on_device': set(),
    'windows': {'arrays', 'derivatives', 'in_place', 'once', 'types', 'windows_on_device'},
    'recursion.signal': {'arguments', 'arrays', 'types'},
    'recursion.positions': {'arrays', 'types'},
    'recursion.steps': {'arrays', 'in_place', 'types', 'windows', 'duals.geometry', 'duals.pair', 'duals.written',
                        'recursion.positions', 'recursion.signal'},
    'recursion.state': {'arrays', 'derivatives', 'ranges', 'types', 'windows', 'duals.geometry', 'duals.pair',
                        'recursion.positions', 'recursion.signal', 'recursion.steps'},
    'recursion.kernel': {'arguments', 'arrays', 'no_arrays', 'duals.geometry', 'recursion.signal', 'recursion.state'},
    'recursion.start': {'arrays', 'derivatives', 'in_place', 'ranges', 'types', 'windows', 'duals.geometry',
                        'recursion.kernel', 'recursion.positions', 'recursion.signal'},
    'recursion.__init__': {'recursion.kernel', 'recursion.signal'},
    # how large kernels are computed and kept: knows blocks, no layers
    'engine.cover': {},
    'engine.run': {'arguments'},
    'engine.device': {'arrays', 'engine.cover'},
    'engine.memory': {},
    'engine.cost': {},
    'engine.forms': {'no_arrays', 'once', 'tuples', 'engine.device'},
    'engine.places': {},
    'engine.chunks': {'engine.places'},
    'engine.sink': {},
    'engine.store': {'engine.chunks', 'engine.places', 'engine.sink'},
    'engine.archive': {'engine.chunks', 'engine.forms', 'engine.places', 'engine.store'},
    'engine.blocks': {'arrays', 'no_arrays', 'types'},
    'engine.batch': {'arguments', 'no_arrays', 'trees', 'types', 'engine.blocks', 'engine.cover', 'engine.device',
                     'engine.forms', 'engine.memory', 'engine.places', 'engine.run', 'engine.sink', 'engine.store'},
    'engine.__init__': {'engine.batch', 'engine.run', 'engine.store'},
    'on_either': {'arrays', 'engine.device', 'engine.memory', 'trees', 'types'},
    'recursion.part': {'types', 'duals.geometry', 'recursion.signal', 'recursion.steps'},
    'recursion.tape': {'arrays', 'windows', 'duals.geometry'},
    'recursion.tile': {'arrays', 'types', 'windows', 'duals.generic', 'duals.geometry', 'duals.pair',
                       'duals.written', 'engine.device', 'recursion.part', 'recursion.positions', 'recursion.signal',
                       'recursion.start', 'recursion.state', 'recursion.steps', 'recursion.tape'},
    'recursion.tiled': {'arrays', 'types', 'windows', 'duals.generic', 'engine.cover', 'engine.device', 'engine.run',
                        'recursion.positions', 'recursion.signal', 'recursion.start', 'recursion.tape',
                        'recursion.tile'},
    'recursion.leaves': {'derivatives'},
    'recursion.primitive': {'derivatives'},
    'recursion.recorded': {'arrays', 'derivatives', 'types', 'windows', 'duals.geometry', 'duals.pair',
                           'duals.watched', 'recursion.part', 'recursion.positions', 'recursion.signal',
                           'recursion.start', 'recursion.state', 'recursion.tape'},
    'recursion.chained': {'arrays', 'derivatives', 'types', 'duals.geometry', 'duals.watched', 'recursion.signal',
                          'recursion.start', 'recursion.steps'},
    'recursion.forward': {'arrays', 'derivatives', 'types', 'windows', 'duals.geometry', 'duals.watched',
                          'engine.cover', 'engine.device', 'engine.run', 'recursion.chained', 'recursion.recorded',
                          'recursion.signal', 'recursion.start', 'recursion.tape'},
    'recursion.reverse': {'arrays', 'types', 'windows', 'duals.geometry', 'engine.cover', 'engine.device',
                          'engine.run', 'recursion.chained', 'recursion.leaves', 'recursion.positions',
                          'recursion.recorded', 'recursion.signal', 'recursion.start', 'recursion.tape'},
    # layers
    'stax.trees': {'types', 'recursion.signal'},
    'stax.masking': {'arguments', 'arrays', 'no_arrays', 'types', 'windows', 'recursion.signal', 'stax.trees'},
    'stax.given': {'arguments', 'arrays', 'trees', 'types', 'recursion.kernel', 'recursion.signal',
                   'recursion.start', 'stax.masking', 'stax.trees'},
    'stax.numbers': {'derivatives'},
    'stax.plan': {'arrays', 'derivatives', 'types', 'engine.device', 'engine.memory', 'recursion.forward',
                  'recursion.primitive', 'recursion.reverse', 'recursion.signal', 'recursion.start',
                  'recursion.tiled', 'stax.given', 'stax.numbers', 'stax.trees'},
    'stax.located': {},
    'stax.written': {'arguments', 'stax.located'},
    # what networks show of themselves
    'stax.formulas': {},
    'stax.tables': {},
    'stax.boxes': {'stax.tables'},
    'stax.watched': {},
    'stax.explained': {'arguments', 'arrays', 'drawing', 'recursion.state', 'trees', 'types', 'stax.formulas',
                       'stax.given', 'stax.plan', 'stax.tables', 'stax.trees', 'stax.watched'},
    'stax.summarized': {'arrays', 'recursion.signal', 'trees', 'types', 'stax.tables', 'stax.trees', 'stax.watched'},
    'stax.shown': {'types', 'stax.boxes', 'stax.explained', 'stax.summarized', 'stax.written'},
    'stax.network': {'arguments', 'arrays', 'once', 'ranges', 'trees', 'tuples', 'types', 'engine.cost', 'engine.cover',
                     'recursion.kernel', 'recursion.signal', 'stax.given', 'stax.located', 'stax.masking',
                     'stax.numbers', 'stax.plan', 'stax.shown', 'stax.trees'},
    'stax.layer': {'arrays', 'types', 'recursion.signal', 'stax.network'},
    'stax.spec': {'arguments', 'stax.layer'},
    'stax.schema': {'windows', 'stax.layer', 'stax.spec'},
    'stax.layers.embedding': {'arrays', 'types'},
    'stax.layers.gaussian': {'recursion.signal'},
    'stax.layers.weighted': {'arguments', 'arrays', 'stax.layer'},
    'stax.layers.dense': {'arguments', 'arrays', 'types', 'recursion.signal', 'recursion.steps',
                          'stax.layers.weighted'},
    'stax.layers.sliding': {'arguments', 'types', 'windows', 'duals.pair'},
    'stax.layers.conv': {'arguments', 'arrays', 'types', 'windows', 'duals.geometry', 'duals.pair',
                         'recursion.signal', 'recursion.steps', 'stax.layers.sliding', 'stax.layers.weighted',
                         'stax.masking'},
    'stax.layers.mixing': {'types', 'recursion.signal', 'recursion.steps', 'stax.layer', 'stax.masking'},
    'stax.layers.pooling': {'arguments', 'arrays', 'types', 'windows', 'recursion.signal', 'recursion.steps',
                            'stax.layers.mixing', 'stax.layers.sliding', 'stax.masking'},
    'stax.layers.attention': {'arguments', 'arrays', 'types', 'duals.geometry', 'recursion.positions',
                              'recursion.signal', 'recursion.start', 'recursion.steps', 'stax.layers.embedding',
                              'stax.layers.mixing'},
    'stax.layers.reshaping': {'arguments', 'arrays', 'types', 'windows', 'recursion.signal', 'recursion.steps',
                              'stax.layer', 'stax.layers.mixing', 'stax.masking'},
    'stax.layers.normalization': {'arguments', 'arrays', 'derivatives', 'types', 'duals.geometry',
                                  'recursion.signal', 'recursion.steps', 'stax.layer', 'stax.layers.gaussian',
                                  'stax.masking'},
    'stax.layers.nonlinearity': {'arrays', 'types', 'duals.geometry', 'duals.pair', 'recursion.signal',
                                 'recursion.steps', 'stax.layer', 'stax.layers.gaussian'},
    'stax.layers.elementwise': {'arguments', 'arrays', 'duals', 'no_arrays', 'types', 'duals.generic',
                                'duals.geometry', 'duals.pair', 'stax.layers.nonlinearity'},
    'stax.layers.piecewise': {'arguments', 'duals', 'types', 'duals.fast', 'duals.generic', 'duals.geometry',
                              'duals.pair', 'stax.layers.nonlinearity'},
    'stax.layers.smooth': {'types', 'duals.geometry', 'duals.pair', 'duals.series', 'stax.layers.nonlinearity'},
    'stax.layers.clipped': {'arrays', 'types', 'duals.exponential_unit', 'duals.geometry', 'duals.pair',
                            'duals.truncated', 'stax.layers.nonlinearity'},
    'stax.layers.custom': {'arguments', 'arrays', 'derivatives', 'quadrature', 'types', 'duals.geometry',
                           'duals.pair', 'duals.price', 'duals.truncated', 'recursion.part', 'recursion.signal',
                           'recursion.steps', 'stax.layers.nonlinearity', 'stax.written'},
    'stax.layers.branching': {'arguments', 'arrays', 'ranges', 'types', 'windows', 'duals.geometry', 'duals.pair',
                              'recursion.signal', 'recursion.steps', 'stax.layer'},
    'stax.layers.graph': {'arguments', 'arrays', 'no_arrays', 'types', 'windows', 'duals.geometry',
                          'recursion.signal', 'recursion.steps', 'stax.layers.mixing'},
    'stax.layers.dot_general': {'arguments', 'arrays', 'types', 'duals.geometry', 'recursion.signal',
                                'recursion.steps', 'stax.layers.mixing'},
    'stax.layers.__init__': {},
    'stax.requirements': {'arguments', 'types'},
    'stax.triple': {'arrays', 'recursion.kernel', 'recursion.signal', 'recursion.start', 'stax.layer', 'stax.masking',
                    'stax.network', 'stax.requirements', 'stax.written'},
    'stax.combinators': {'arguments', 'arrays', 'once', 'stax.boxes', 'stax.layer', 'stax.located', 'stax.triple'},
    'stax.__init__': {'arguments', 'stax.combinators', 'stax.layer', 'stax.located', 'stax.masking',
                      'stax.requirements', 'stax.spec', 'stax.triple', 'stax.layers.attention',
                      'stax.layers.branching', 'stax.layers.clipped',
                      'stax.layers.conv', 'stax.layers.custom', 'stax.layers.dense', 'stax.layers.dot_general',
                      'stax.layers.elementwise', 'stax.layers.embedding', 'stax.layers.graph',
                      'stax.layers.normalization', 'stax.layers.piecewise', 'stax.layers.pooling',
                      'stax.layers.reshaping', 'stax.layers.sliding', 'stax.layers.smooth'},
    'stax.named': {'arguments', 'stax', 'types', 'stax.layer', 'stax.layers.nonlinearity'},
    # kernels in, predictions out: knows matrices, no layers
    'predict.layout': {'arguments', 'arrays', 'no_arrays', 'types', 'engine.device'},
    'predict.factor': {'arrays', 'once', 'types'},
    'predict.predictor': {},
    'predict.kept': {'arrays', 'types', 'predict.factor'},
    'predict.closed_form': {'arguments', 'arrays', 'types', 'predict.factor', 'predict.kept', 'predict.layout',
                            'predict.predictor'},
    'predict.discrete': {'arguments', 'arrays', 'derivatives', 'types', 'predict.closed_form', 'predict.factor',
                         'predict.layout', 'predict.predictor'},
    'predict.kernel_gradient': {'arguments', 'arrays', 'derivatives', 'no_arrays', 'types', 'predict.factor',
                                'predict.layout'},
    'predict.gaussian': {'arguments', 'arrays', 'no_arrays', 'tuples', 'types', 'predict.closed_form',
                         'predict.layout', 'predict.predictor'},
    'predict.ensemble': {'arguments', 'arrays', 'no_arrays', 'trees', 'types', 'engine.blocks',
                         'predict.closed_form', 'predict.gaussian', 'predict.layout', 'predict.predictor'},
    'predict.bayes': {'arguments', 'arrays', 'no_arrays', 'types', 'predict.closed_form', 'predict.factor',
                      'predict.layout'},
    'predict.sampling': {'arguments', 'arrays', 'no_arrays', 'types', 'predict.factor', 'predict.layout'},
    'predict.network_evidence': {'arguments', 'arrays', 'no_arrays', 'types', 'engine.blocks', 'engine.cover',
                                 'engine.run', 'predict.bayes', 'predict.closed_form', 'predict.ensemble',
                                 'predict.layout'},
    'predict.hyperparameters': {'arguments', 'arrays', 'types', 'engine.run', 'predict.layout',
                                'predict.network_evidence'},
    'predict.out_of_core': {'arguments', 'arrays', 'no_arrays', 'on_either', 'types', 'engine.blocks', 'engine.cover',
                            'engine.device', 'engine.run', 'predict.factor', 'predict.layout'},
    'predict.preconditioner': {'on_either', 'predict.out_of_core'},
    'predict.iterative': {'arguments', 'arrays', 'no_arrays', 'on_either', 'types', 'engine.run', 'predict.factor',
                          'predict.layout', 'predict.out_of_core', 'predict.preconditioner'},
    'predict.iterative_gaussian': {'arrays', 'no_arrays', 'on_either', 'types', 'engine.cover', 'predict.closed_form',
                                   'predict.gaussian', 'predict.iterative', 'predict.layout', 'predict.out_of_core',
                                   'predict.predictor'},
    'predict.loss': {'predict.layout'},
    'predict.ode': {'engine.run'},
    'predict.equations': {'predict.factor', 'predict.loss'},
    'predict.flow': {'arguments', 'arrays', 'no_arrays', 'trees', 'types', 'engine.device', 'engine.run',
                     'predict.closed_form', 'predict.equations', 'predict.iterative', 'predict.layout',
                     'predict.loss', 'predict.ode', 'predict.predictor'},
    'predict.ridge': {'types', 'predict.bayes', 'predict.closed_form', 'predict.factor'},
    'predict.laplace': {'arguments', 'arrays', 'no_arrays', 'types', 'engine.run', 'predict.closed_form',
                        'predict.factor', 'predict.gaussian', 'predict.iterative', 'predict.layout',
                        'predict.predictor'},
    'predict.__init__': {'arguments', 'predict.bayes', 'predict.closed_form', 'predict.discrete', 'predict.ensemble',
                         'predict.factor', 'predict.flow', 'predict.gaussian', 'predict.hyperparameters',
                         'predict.iterative', 'predict.iterative_gaussian', 'predict.kernel_gradient',
                         'predict.laplace', 'predict.network_evidence', 'predict.ode', 'predict.out_of_core',
                         'predict.sampling'},
    # finite networks: functions that autograd differentiates, no layers
    'empirical.trees': {'arguments', 'arrays', 'no_arrays', 'on_either', 'trees', 'types'},
    'empirical.pairing': {'arrays', 'types'},
    'empirical.cost': {},
    'empirical.pullbacks': {'arrays', 'einsums', 'on_either'},
    'empirical.record': {'arrays', 'once', 'trees', 'empirical.cost', 'empirical.pullbacks'},
    'empirical.given': {'arguments', 'once', 'trees', 'types', 'empirical.cost'},
    'empirical.side': {'arguments', 'arrays', 'no_arrays', 'on_either', 'once', 'trees', 'types', 'empirical.cost',
                       'empirical.given', 'empirical.record', 'empirical.trees'},
    'empirical.blocks': {'arrays', 'on_either', 'trees', 'types', 'empirical.side', 'engine.blocks'},
    'empirical.jacobian': {'on_either', 'empirical.cost', 'empirical.given', 'empirical.pairing', 'empirical.record',
                           'empirical.side'},
    'empirical.products': {'arguments', 'on_either', 'trees', 'types', 'empirical.cost', 'empirical.given',
                           'empirical.jacobian', 'empirical.pairing', 'empirical.pullbacks', 'empirical.record',
                           'empirical.side', 'empirical.trees'},
    'empirical.taylor': {'arguments', 'arrays', 'on_either', 'trees', 'types'},
    'empirical.check': {'on_either', 'empirical.given', 'empirical.products', 'empirical.side'},
    'empirical.rules': {'einsums', 'on_either', 'types', 'empirical.pullbacks', 'empirical.record'},
    'empirical.weights': {'arrays', 'in_place', 'on_either', 'types', 'empirical.record'},
    'empirical.plan': {'on_either', 'once', 'empirical.record', 'empirical.rules', 'empirical.side',
                       'empirical.weights'},
    'empirical.structured': {'in_place', 'on_either', 'empirical.cost', 'empirical.jacobian', 'empirical.pairing',
                             'empirical.plan', 'empirical.side'},
    'empirical.followed': {'arrays', 'no_arrays', 'trees', 'types', 'empirical.pairing', 'empirical.side'},
    'empirical.kernels': {'arguments', 'on_either', 'trees', 'tuples', 'empirical.blocks', 'empirical.check',
                          'empirical.cost', 'empirical.followed', 'empirical.given', 'empirical.jacobian',
                          'empirical.pairing', 'empirical.plan', 'empirical.products', 'empirical.side',
                          'empirical.structured'},
    'empirical.__init__': {'empirical.given', 'empirical.kernels', 'empirical.products'},
    'empirical.monte_carlo': {'arguments', 'arrays', 'empirical', 'on_either', 'trees', 'types', 'empirical.side',
                              'empirical.trees', 'engine.batch', 'engine.device', 'engine.run'},
    # on top: what layers owe
    'testing.comparing': {'stax', 'types', 'recursion.kernel', 'recursion.signal', 'stax.trees'},
    'testing.contracts': {'stax', 'types', 'engine.cover', 'recursion.kernel', 'testing.comparing'},
    'testing.finite': {'arrays', 'stax', 'trees', 'types', 'recursion.positions', 'testing.comparing'},
    'testing.check': {'arguments', 'stax', 'types', 'testing.comparing', 'testing.contracts', 'testing.finite'},
    'testing.__init__': {'testing.check', 'testing.comparing', 'testing.finite'},
    'classic': {'arguments', 'arrays', 'empirical', 'predict', 'types', 'engine.batch'},
    # pictures
    'plot.kernels': {'arguments', 'arrays', 'drawing', 'no_arrays', 'stax', 'types'},
    'plot.gaussians': {'arguments', 'arrays', 'drawing', 'no_arrays', 'predict', 'types'},
    'plot.trained': {'arrays', 'drawing', 'no_arrays', 'types', 'plot.gaussians'},
    'plot.networks': {'arguments', 'drawing', 'empirical', 'no_arrays', 'stax', 'types'},
    'plot.phases': {'drawing', 'types', 'duals.pair'},
    'plot.__init__': {'arguments', 'plot.gaussians', 'plot.kernels', 'plot.networks', 'plot.phases', 'plot.trained'},
    # a page to play with
    'playground.state': {'arguments'},
    'playground.logistic': {'types', 'duals.geometry', 'duals.pair', 'stax.layers.nonlinearity'},
    'playground.infinite': {'predict', 'stax', 'types', 'engine.run', 'playground.logistic', 'playground.state',
                            'plot.phases'},
    'playground.finite': {'predict', 'trees', 'types', 'engine.run'},
    'playground.script': {'playground.finite', 'playground.state'},
    'playground.answers': {'predict', 'playground.finite', 'playground.infinite', 'playground.script',
                           'playground.state'},
    'playground.server': {'playground.answers'},
    'playground.__init__': {'playground.server', 'playground.state'},
    # estimators of scikit-learn: on top of all
    'estimators.inputs': {'arguments', 'no_arrays', 'types'},
    'estimators.networks': {'arguments', 'stax', 'types', 'stax.named'},
    'estimators.ridges': {'arguments', 'arrays', 'predict.ridge'},
    'estimators.solved': {'predict.bayes', 'predict.closed_form', 'predict.gaussian', 'predict.iterative_gaussian',
                          'predict.layout'},
    'estimators.base': {'arguments', 'types', 'engine.batch', 'engine.cover', 'engine.run', 'estimators.inputs',
                        'estimators.networks', 'estimators.ridges', 'estimators.solved', 'predict.ridge'},
    'estimators.regressors': {'arguments', 'predict', 'types', 'estimators.base', 'estimators.inputs'},
    'estimators.calibration': {},
    'estimators.classifiers': {'arguments', 'arrays', 'predict', 'types', 'engine.cover', 'engine.run',
                               'estimators.base', 'estimators.calibration', 'estimators.ridges', 'predict.laplace',
                               'predict.layout', 'predict.ridge'},
    'estimators.kernel': {'stax', 'types', 'engine.cover', 'estimators.inputs', 'estimators.networks', 'stax.named'},
    'estimators.kept': {'stax', 'engine.archive', 'estimators.base', 'estimators.classifiers', 'estimators.inputs',
                        'estimators.regressors', 'estimators.solved', 'predict.ensemble', 'predict.predictor'},
    'estimators.__init__': {'estimators.classifiers', 'estimators.kept', 'estimators.kernel', 'estimators.regressors'},
    # values to compare with
    'oracle.precision': {},
    'oracle.shaken': {'oracle.precision'},
    'oracle.variants': {'stax'},
    'oracle.around': {'arrays', 'stax', 'trees', 'duals.geometry', 'oracle.precision', 'oracle.variants'},
    'oracle.ball_integrals': {'balls'}, 'oracle.ball_kinks': {'balls'},
    'oracle.ball_duals': {'balls', 'stax', 'oracle.ball_integrals', 'oracle.ball_kinks'},
    'oracle.proved': {'arrays', 'balls', 'stax', 'trees', 'types', 'duals.geometry', 'oracle.ball_duals',
                      'oracle.precision', 'oracle.variants', 'recursion.kernel', 'recursion.state'},
    'oracle.certified': {'oracle.precision'},
    'oracle.digits': {'arrays', 'balls', 'no_arrays', 'stax', 'oracle.certified', 'oracle.precision',
                      'oracle.proved'},
    'oracle.certify': {'arguments', 'arrays', 'balls', 'stax', 'trees', 'tuples', 'types',
                       'engine.batch', 'engine.blocks', 'engine.cover', 'engine.run', 'oracle.around',
                       'oracle.certified', 'oracle.digits', 'oracle.precision', 'oracle.proved', 'oracle.shaken',
                       'oracle.variants',
                       'recursion.signal'},
    'oracle.ball_matrices': {'arrays', 'balls'},
    'oracle.proved_predictions': {'arrays', 'balls', 'oracle.ball_matrices', 'predict.layout'},
    'oracle.predicted': {'arguments', 'predict', 'predict.factor', 'predict.gaussian', 'predict.layout'},
    'oracle.certify_predict': {'arguments', 'arrays', 'balls', 'no_arrays', 'stax', 'trees', 'tuples', 'types',
                               'oracle.certified', 'oracle.digits', 'oracle.precision', 'oracle.predicted',
                               'oracle.proved', 'oracle.proved_predictions', 'oracle.variants', 'predict.factor',
                               'predict.layout'},
    'oracle.inside': {'stax', 'types', 'stax.watched'},
    'oracle.cases': {},
    'oracle.catalogue.given': {},
    'oracle.catalogue.family': {'oracle.catalogue.given'},
    'oracle.catalogue.vectors': {'stax', 'oracle.catalogue.family', 'stax.layers.nonlinearity', 'stax.schema'},
    'oracle.catalogue.images': {'stax', 'oracle.catalogue.family'},
    'oracle.catalogue.trained': {'stax', 'trees', 'oracle.catalogue.family', 'oracle.catalogue.given'},
    'oracle.catalogue.__init__': {'oracle.catalogue.family', 'oracle.catalogue.given', 'oracle.catalogue.images',
                                  'oracle.catalogue.trained', 'oracle.catalogue.vectors'},
    'oracle.definitions': {'stax', 'trees', 'oracle.certify', 'oracle.precision', 'oracle.shaken'},
    'oracle.generate': {'engine.run', 'oracle.cases', 'oracle.catalogue', 'oracle.catalogue.family', 'oracle.certify',
                        'oracle.certify_predict', 'oracle.definitions', 'oracle.proved_predictions', 'stax'},
    'oracle.worker': {},
    'oracle.adapter': {'oracle.worker'},
    'oracle.predictions': {},
    'oracle.export': {'stax', 'oracle.cases', 'oracle.inside', 'oracle.worker'},
    'keep': {'stax', 'engine.archive', 'engine.chunks', 'engine.forms', 'engine.places', 'engine.store',
             'predict.predictor', 'recursion.kernel'},
    '__init__': {'arguments', 'classic', 'empirical', 'keep', 'predict', 'stax', 'empirical.monte_carlo',
                 'empirical.taylor', 'engine.batch', 'recursion.kernel'},
    'oracle.answers': {'__init__', 'stax', 'trees', 'oracle.predictions'},
    'oracle.mistakes': {'arrays', 'stax', 'trees', 'duals.pair', 'oracle.answers', 'oracle.cases', 'oracle.variants',
                        'stax.layers.weighted'},
    'oracle.conformance': {'__init__', 'arguments', 'engine.run', 'oracle.adapter', 'oracle.cases', 'oracle.mistakes'},
    'oracle.report': {'oracle.conformance'},
    'oracle.beside_kernels': {'arrays', 'autograd_on_device', 'empirical', 'predict', 'stax', 'trees',
                              'empirical.monte_carlo', 'empirical.taylor', 'engine.device'},
    'oracle.on_device': {'arrays', 'stax', 'trees', 'engine.batch', 'engine.device', 'oracle.answers',
                         'oracle.beside_kernels', 'oracle.cases', 'oracle.mistakes', 'oracle.worker'},
    'oracle.device_report': {'__init__', 'oracle.on_device', 'oracle.report'},
    'oracle.__init__': {'oracle.cases', 'oracle.certified', 'oracle.certify', 'oracle.certify_predict',
                        'oracle.conformance', 'oracle.inside', 'oracle.report'},
    # scripts for Neural Tangents, read and never run
    'migration.scripts': {},
    'migration.names': {},
    'migration.rules': {},
    'migration.of_jax': {'migration.rules'},
    'migration.of_tangents': {'migration.rules'},
    'migration.findings': {'migration.names', 'migration.of_jax', 'migration.of_tangents', 'migration.rules',
                           'migration.scripts'},
    'migration.report': {'migration.findings', 'migration.rules', 'migration.scripts'},
    'migration.__init__': {'migration.findings', 'migration.report', 'migration.scripts'},
    'demos.dense': {'arrays', 'predict', 'stax'},
    'demos.conv': {'arrays', 'predict', 'stax', 'demos.dense'},
    'demos.__init__': {'demos.conv', 'demos.dense'},
    'cli.flags': {},
    'cli.inputs': {'arguments', 'stax', 'stax.named'},
    'cli.messages': {'stax', 'types'},
    'cli.demo': {'cli.flags', 'demos.conv', 'demos.dense'},
    'cli.training_set': {'predict', 'cli.flags', 'cli.inputs', 'cli.messages', 'predict.ridge'},
    'cli.playground': {'playground', 'cli.flags'},
    'cli.plot': {'drawing', 'plot', 'cli.flags', 'cli.inputs', 'cli.messages', 'cli.training_set', 'demos.dense'},
    'cli.kernel': {'cli.flags', 'cli.inputs', 'cli.messages', 'engine.batch', 'engine.places'},
    'cli.explain': {'cli.flags', 'cli.kernel'},
    'cli.predict': {'cli.flags', 'cli.inputs', 'cli.messages', 'cli.training_set'},
    'cli.certify': {'cli.flags', 'cli.kernel', 'cli.messages', 'oracle.certified', 'oracle.certify'},
    'cli.cases': {'oracle', 'stax', 'cli.flags', 'oracle.export'},
    'cli.conform': {'oracle', 'cli.flags', 'oracle.report'},
    'cli.gpu_check': {'cli.flags', 'oracle.device_report', 'oracle.on_device'},
    'cli.migrate': {'migration', 'cli.flags'},
    'cli.__init__': {'__init__', 'cli.cases', 'cli.certify', 'cli.conform', 'cli.demo', 'cli.explain', 'cli.flags',
                     'cli.gpu_check', 'cli.kernel', 'cli.migrate', 'cli.playground', 'cli.plot', 'cli.predict'},
    '__main__': {'cli'},
}
"""Module -> what it may import of ntref. An arrow points up in this table, never down."""

BLIND = 'predict', 'empirical', 'engine'            # know kernels and functions, no layers
SHARED = 'embedding', 'gaussian', 'mixing', 'nonlinearity', 'sliding', 'weighted'      # rooms of stax.layers

ARRAY_LIBRARIES = dict.fromkeys((
    'types', 'no_arrays', 'ranges', 'keep', 'duals.angle', 'duals.fast', 'duals.generic',
    'arrays', 'of_mpmath', 'balls', 'arguments', 'einsums', 'quadrature.panels', 'quadrature.expectation',
    'quadrature.kinks', 'on_either', 'engine.batch',
    'engine.archive', 'engine.chunks', 'engine.forms', 'engine.sink', 'engine.store', 'predict.equations',
    'predict.flow', 'predict.hyperparameters', 'predict.laplace', 'predict.loss', 'predict.network_evidence',
    'predict.ode', 'predict.out_of_core', 'predict.preconditioner', 'predict.iterative', 'predict.iterative_gaussian',
    'testing.comparing',
    'testing.contracts', 'testing.finite', 'testing.check', 'cli.cases', 'cli.inputs', 'cli.plot', 'cli.predict',
    'cli.training_set', 'playground.infinite',
    'empirical.monte_carlo', *(
        f'plot.{name}' for name in 'kernels gaussians trained networks phases'.split()), *(
        f'oracle.{name}' for name in
        'shaken certified certify certify_predict digits proved proved_predictions predicted ball_matrices cases '
        'catalogue.given catalogue.trained definitions export generate mistakes predictions worker '
        'conformance'.split()), *(
        f'empirical.{name}' for name in
        'trees check given pairing pullbacks record side jacobian products rules weights plan structured '
        'followed'.split()), *(
        f'estimators.{name}' for name in
        'inputs ridges solved base regressors calibration classifiers kept kernel'.split())), {'numpy'}) | {
    'engine.run': {'numpy'}, 'engine.device': {'numpy', 'cupy', 'cupyx'}, 'duals.on_device': {'cupy'},
    'duals.written': {'cupy'}, 'windows_on_device': {'numpy', 'cupy'},
    'autograd_on_device': {'numpy', 'cupy'}, 'in_place': {'numpy', 'cupyx'},
    'oracle.on_device': {'numpy', 'cupy', 'jax'}, 'oracle.device_report': {'numpy'},
    'oracle.beside_kernels': {'numpy'}}
"""Where `import numpy` and `import cupy` stand; all others compute with a `namespace`."""

ASKS_FOR_THE_KIND = {
    'in_place': 4,              # arrays of NumPy, not followed by autograd, are written into
    'derivatives': 1,           # does autograd follow it?
    'arguments': 3,             # a number of which kinds; a traced constant stays
    'oracle.around': 1,         # a layer of the user's is tried with NumPy arrays
    'predict.flow': 1,          # refuses what SciPy's solvers cannot do
    'predict.laplace': 1,       # refuses what is not NumPy's
    'stax.layers.custom': 1,    # refuses what SciPy's quadrature cannot do
    'stax.network': 1,          # mpmath wants the digits of arguments
    'stax.layers.attention': 1,  # numbers of any precision do not overflow, and balls have no largest
    'recursion.tiled': 2,       # tiles are NumPy's, and not for traced parameters
}
"""How often a module other than arrays compares kinds, and why."""

OVERRIDES = {f'{name}.fused_generic' for name in                        # of an attribute's type
             'Erf Sigmoid_like Gelu Gaussian Gabor Sin Rbf Exp ExpNormalized Sign RectifiedMonomial'.split()}

LINES, FUNCTION = 420, 40


# ------------------------------------------------------------------ arrows

def imports(name):
    """(module of ntref that is imported, or None; the name as written) for all imports, also inside functions."""
    package = ('ntref', *name.split('.')[:-1])
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from ((module_of(a.name), a.name) for a in node.names)
        if isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else ()
            written = '.'.join([*base, *([node.module] if node.module else [])])
            for a in node.names:
                yield module_of(f'{written}.{a.name}') or module_of(written), f'{written}.{a.name}'
        if isinstance(node, ast.Call) and getattr(node.func, 'id', getattr(node.func, 'attr', '')) in (
                'import_module', '__import__') and node.args and isinstance(node.args[0], ast.Constant):
            yield module_of(node.args[0].value), node.args[0].value


def module_of(written):
    """'ntref.stax.layer' -> 'stax.layer' if that is a module or package of ntref."""
    root, _, name = written.partition('.')
    if root != 'ntref' or not name:
        return '__init__' if written == 'ntref' else None
    return name if name in SOURCES or f'{name}.__init__' in SOURCES else None


@pytest.mark.parametrize('name', SOURCES)
def test_arrows(name):
    assert name in ALLOWED, f'{name} is a new module: say in ALLOWED what it may import'
    found = {module for module, _ in imports(name) if module}
    assert found == set(ALLOWED[name]), 'imports and the table differ'


def test_the_table_has_no_other_modules_and_no_circle():
    assert set(ALLOWED) == set(SOURCES)
    order = list(ALLOWED)

    def place(module):
        return order.index(module if module in ALLOWED else f'{module}.__init__')
    assert all(place(used) < place(name) for name, others in ALLOWED.items() for used in others)


def test_who_knows_no_layers():
    def reach(name, seen=()):
        for other in ALLOWED[name]:
            other = other if other in ALLOWED else f'{other}.__init__'
            yield other
            yield from reach(other)
    for name in ALLOWED:
        if name.split('.')[0] in BLIND:
            known = 'stax', 'duals', 'recursion'
            layers = {other for other in reach(name) if other.startswith(known)}
            assert not layers


def test_layers_are_siblings():
    """Topics of layers share rooms, in which no layers are, and do not import each other."""
    rooms = {f'stax.layers.{room}' for room in SHARED}
    topics = {cls.__module__.removeprefix('ntref.') for cls in Layer.registry.values() if cls.is_ours()}
    assert rooms <= set(ALLOWED) and not rooms & topics
    for name, others in ALLOWED.items():
        if name.startswith('stax.layers.'):
            assert {other for other in others if other.startswith('stax.layers.')} <= rooms, name


def test_the_reader_of_imports_sees_all_forms(monkeypatch):
    source = ('import numpy as np\nfrom ntref.stax import layer\nfrom . import trees\nfrom ..duals.pair import Cov\n'
              'def f():\n    from .. import predict\n    import_module("cupy.linalg")\n    import ntref\n')
    monkeypatch.setitem(TREES, 'stax.example', ast.parse(source))
    assert list(imports('stax.example')) == [
        (None, 'numpy'), ('stax.layer', 'ntref.stax.layer'), ('stax.trees', 'ntref.stax.trees'),
        ('duals.pair', 'ntref.duals.pair.Cov'), ('predict', 'ntref.predict'), ('__init__', 'ntref'),
        (None, 'cupy.linalg')]


# ------------------------------------------------------------------ array libraries and kinds

@pytest.mark.parametrize('name', SOURCES)
def test_array_libraries(name):
    found = {written.partition('.')[0] for _, written in imports(name)} & {'numpy', 'cupy', 'cupyx', 'jax', 'torch'}
    assert found == ARRAY_LIBRARIES.get(name, set())


def kind_comparisons(tree):
    """Comparisons of `kind(...)`, `x.kind` or `kind` with anything, but `.dtype.kind`; and isinstance of arrays."""
    def asks(node):
        if isinstance(node, ast.Call):
            node = node.func
        if isinstance(node, ast.Attribute):
            return node.attr == 'kind' and getattr(node.value, 'attr', None) != 'dtype'
        return isinstance(node, ast.Name) and node.id in ('kind', 'kinds', 'KINDS')
    return [node for node in ast.walk(tree) if isinstance(node, ast.Compare)
            and any(asks(part) for side in (node.left, *node.comparators) for part in ast.walk(side))]


@pytest.mark.parametrize('name', [name for name in SOURCES if name != 'arrays'])
def test_nobody_asks_for_the_kind(name):
    found = kind_comparisons(TREES[name])
    assert len(found) == ASKS_FOR_THE_KIND.get(name, 0), [ast.unparse(node) for node in found]


def test_the_reader_of_kinds_sees_them():
    for text, n in [("kind(a) == 'cupy'", 1), ("xp.kind != 'numpy'", 1), ("arrays.kind(a) in ('a', 'b')", 1),
                    ("{kind(a), kind(b)} != {'numpy'}", 1), ("a.dtype.kind in 'iu'", 0), ('kind(a)', 0),
                    ("f(kind='a')", 0)]:
        assert len(kind_comparisons(ast.parse(text))) == n, text


# ------------------------------------------------------------------ sizes

@pytest.mark.parametrize('name', SOURCES)
def test_files_are_short(name):
    lines = len(SOURCES[name].read_text().splitlines())
    assert lines <= LINES, f'{lines} lines: split it'


def code_lines(function, text):
    """Lines of a function that hold code: no docstrings, comments and blank lines."""
    lines = set(range(function.lineno, function.end_lineno + 1))
    for node in ast.walk(function):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, node.end_lineno + 1))
    return sum(bool(text[i - 1].strip()) and not text[i - 1].strip().startswith('#') for i in lines)


@pytest.mark.parametrize('name', SOURCES)
def test_functions_are_short(name):
    text = SOURCES[name].read_text().splitlines()
    functions = [node for node in ast.walk(TREES[name]) if isinstance(node, ast.FunctionDef)]
    sizes = {node.name: code_lines(node, text) for node in functions}
    assert not {function: n for function, n in sizes.items() if n > FUNCTION}


def test_code_lines():
    text = 'def f(x):\n    """What\n    it is."""\n\n    # why\n    y = x\n    return (y\n            + 1)'.split('\n')
    assert code_lines(ast.parse('\n'.join(text)).body[0], text) == 4


# ------------------------------------------------------------------ public names

@pytest.mark.parametrize('module', ['ntref', 'ntref.stax', 'ntref.predict', 'ntref.empirical', 'ntref.testing',
                                    'ntref.oracle', 'ntref.classic', 'ntref.plot', 'ntref.estimators'])
def test_public_names_exist_and_are_documented(module):
    module = importlib.import_module(module)
    assert len(set(module.__all__)) == len(module.__all__) > 1
    for name in module.__all__:
        public = getattr(module, name)
        assert inspect.getdoc(public), f'{name} has no docstring'
        if inspect.isclass(public):
            assert not public.__doc__.startswith(f'{name}('), f'{name}: a docstring made up by dataclass'


@pytest.mark.parametrize('name', SOURCES)
def test_modules_are_documented_and_list_their_names(name):
    tree = TREES[name]
    assert ast.get_docstring(tree)
    if name == '__main__':
        return
    module = importlib.import_module('ntref' if name == '__init__' else 'ntref.' + name.removesuffix('.__init__'))
    assert all(hasattr(module, public) for public in module.__all__)
    if name != 'cov' and not name.endswith('__init__'):                               # that is another's name
        defined = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assigned = {t.id for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))
                    for target in getattr(node, 'targets', None) or [node.target]
                    for t in ast.walk(target) if isinstance(t, ast.Name)}
        assert set(module.__all__) <= defined | assigned, 'lists what it does not define'


def without_types(tree, public):
    """Names of public functions and methods of which an argument or the result has no type; properties may lack it."""
    for node in tree.body:
        if getattr(node, 'name', None) not in public:
            continue
        inside = [f for f in getattr(node, 'body', []) if isinstance(f, ast.FunctionDef)]
        for f in [node] if isinstance(node, ast.FunctionDef) else inside:
            decorators = {ast.unparse(decorator) for decorator in f.decorator_list}
            is_hidden = f is not node and f.name.startswith('_') and f.name not in ('__init__', '__call__')
            if is_hidden or decorators & {'property', 'cached_property'}:
                continue
            given = f.args
            arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
            skipped = 1 if f is not node and 'staticmethod' not in decorators else 0            # self or cls
            typed = all(a.annotation for a in arguments[skipped:] if a)
            if not typed or f.returns is None and f.name != '__init__':
                yield f'{node.name}.{f.name}'


@pytest.mark.parametrize('name', [name for name in SOURCES if name != '__main__'])
def test_the_public_surface_is_typed(name):
    module = importlib.import_module('ntref' if name == '__init__' else 'ntref.' + name.removesuffix('.__init__'))
    found = set(without_types(TREES[name], getattr(module, '__all__', ())))
    assert found <= OVERRIDES, found - OVERRIDES


def test_the_reader_of_types_sees_what_has_none():
    source = ('def f(x: int) -> int: ...\ndef g(x) -> int: ...\ndef _h(x): ...\nclass C:\n'
              '    def a(self, *b: int) -> None: ...\n    def c(self, *d): ...\n    def _e(self, x): ...\n')
    assert list(without_types(ast.parse(source), {'f', 'g', 'C'})) == ['g.g', 'C.c']


def test_public_names_have_one_home():
    """What the subpackages offer is what their modules list."""
    for package in ('stax', 'predict', 'quadrature', 'engine', 'empirical', 'testing', 'plot', 'estimators'):
        module = importlib.import_module(f'ntref.{package}')
        listed = {public for name in SOURCES if name.startswith(package + '.') and not name.endswith('__init__')
                  for public in getattr(importlib.import_module(f'ntref.{name}'), '__all__', ())}
        assert set(module.__all__) <= listed


def test_annotations_are_offered_to_type_checkers():
    assert (PACKAGE / 'py.typed').exists() and 'ntref = py.typed' in (ROOT / 'setup.cfg').read_text()


# ------------------------------------------------------------------ what an import costs

LATER = 'autograd', 'cupy', 'mpmath', 'flint', 'sklearn', 'matplotlib', 'dask', 'zarr', 'tqdm', 'filelock', 'psutil'
PROBE = """
import sys
import ntref
print(*sorted(set(sys.modules) & set(sys.argv[1:])))
"""


def test_import_loads_nothing_early():
    run = subprocess.run([sys.executable, '-c', PROBE, *LATER], capture_output=True, text=True, check=True,
                         cwd=PACKAGE.parent)
    assert run.stdout.split() == []


def test_the_probe_sees_modules():
    run = subprocess.run([sys.executable, '-c', PROBE, 'numpy', 'ntref.stax', 'no_such_module'], capture_output=True,
                         text=True, check=True, cwd=PACKAGE.parent)
    assert run.stdout.split() == ['ntref.stax', 'numpy']


# ------------------------------------------------------------------ the map

def test_the_map_has_each_folder_and_top_level_module_once():
    section = (ROOT / 'docs' / 'design.md').read_text().partition('## The map\n')[2].partition('\n## ')[0]
    named = [name for row in section.splitlines() if row.startswith('| `')
             for name in re.findall('`([^`]*)`', row.split(' | ')[0])]
    folders = {f'{path.parent.relative_to(PACKAGE.parent)}/' for path in PACKAGE.rglob('*/__init__.py')} - {'ntref/'}
    modules = {f'ntref/{path.name}' for path in PACKAGE.glob('*.py')} - {'ntref/__init__.py'}
    pages = {f'docs/{name}/' for name in ('theory', 'learn', 'gallery', 'play', 'reference', '_ext')}
    assert sorted(named) == sorted(folders | modules | pages | {'tests/', 'validation/'})


# ------------------------------------------------------------------ where tests are

TEST_FILES = sorted(TESTS.rglob('test_*.py'))
ROOMS = {'golden', 'helpers', 'truth', 'whole'}
"""Folders of tests for no folder of ntref alone."""


def test_tests_have_the_folders_of_what_they_test():
    packages = {path.parent.name for path in PACKAGE.glob('*/__init__.py')}
    tested = {path.parent.relative_to(TESTS).as_posix() for path in TEST_FILES} - {'.', 'whole'}
    assert tested == packages - {'demos'}, 'demos are commands: test_cli.py'
    assert {path.name for path in TESTS.iterdir() if path.is_dir()} - {'__pycache__'} == tested | ROOMS


def test_names_of_test_files_say_which_one():
    """Tests are known by the name of their file alone (profiles.py), which is imported under it."""
    names = [path.name for path in TESTS.rglob('*.py')]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize('path', sorted(TESTS.rglob('*.py')), ids=lambda p: p.stem)
def test_no_test_file_is_imported(path):
    """What several share is in helpers/ or truth/."""
    assert not set(imported(ast.parse(path.read_text()))) & {other.stem for other in TEST_FILES}


def imported(tree):
    """Modules that are imported by name, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names)
        if isinstance(node, ast.ImportFrom):
            yield node.module
        if isinstance(node, ast.Call) and 'import_module' in ast.unparse(node.func) and node.args:
            yield getattr(node.args[0], 'value', None)


def test_the_reader_of_imported_tests_sees_them():
    text = 'import test_a\nfrom test_b import x\ndef f():\n    import_module("test_c")\n    import_module(name)'
    assert {*imported(ast.parse(text))} == {'test_a', 'test_b', 'test_c', None}


# ------------------------------------------------------------------ tests that cannot fail

EMPTY = ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Tuple, ast.Name, ast.Attribute


def idle_statements(tree):
    """Expressions that compute something and drop it; expected to raise inside `with pytest.raises`, they are fine."""
    expected = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.With)
                and any('raises' in ast.unparse(item) or 'warns' in ast.unparse(item) for item in node.items)
                for inner in ast.walk(node)}
    return [node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, EMPTY)
            and id(node) not in expected]


@pytest.mark.parametrize('path', sorted(TESTS.rglob('*.py')), ids=lambda p: p.stem)
def test_no_comparison_is_dropped(path):
    found = idle_statements(ast.parse(path.read_text()))
    assert not found, [f'line {node.lineno}: {ast.unparse(node)}' for node in found]


@pytest.mark.parametrize('path', sorted(TESTS.rglob('test_*.py')), ids=lambda p: p.stem)
def test_every_test_can_fail(path):
    """It asserts, expects an error, or calls something of this file or of the helpers that does."""
    tree = ast.parse(path.read_text())
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def checks(name, seen=frozenset()):
        for node in ast.walk(functions[name]):
            if isinstance(node, (ast.Assert, ast.Raise)):
                return True
            if isinstance(node, ast.Call):
                text = ast.unparse(node.func)
                called = text.rpartition('.')[2]
                if called.startswith(('assert_', 'check', 'raises', 'fail', 'warns')):
                    return True
                if text in functions and text not in seen and checks(text, seen | {name}):
                    return True
        return False
    idle = [name for name in functions if name.startswith('test_') and not checks(name)]
    assert not idle, f'cannot fail: {idle}'


def test_the_reader_of_statements_sees_them():
    for text, n in [('x == 1', 1), ('x - 1', 1), ('not x', 1), ('f(x), "message"', 1), ('a < b and c', 1), ('f(x)', 0),
                    ('assert x == 1', 0), ('with pytest.raises(E):\n    x + 1', 0), ('with f():\n    x + 1', 1)]:
        assert len(idle_statements(ast.parse(text))) == n, text


# ------------------------------------------------------------------ which tests run when

def test_what_profiles_name_exists():
    for test in [*SAMPLED, *LONG]:
        file, _, name = test.partition('::')
        path, = [path for path in [*TESTS.rglob(file), *(ROOT / 'docs').rglob(file)] if '_build' not in path.parts]
        assert not name or name in [getattr(node, 'name', None) for node in ast.parse(path.read_text()).body], test


# ------------------------------------------------------------------ links

def headings(text):
    """Anchors of a page: its headings as GitHub names them."""
    titles = (re.sub(r'\]\([^)]*\)', '', title) for title in re.findall(r'^#+ (.*)', without_code(text), re.M))
    return {re.sub(r'[^\w -]', '', title).strip().lower().replace(' ', '-') for title in titles}


def without_code(text):
    return re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)


def links(text):
    """(path, anchor) of all links that lead to no other host."""
    targets = re.findall(r'\]\(([^)\s]+)\)', without_code(text))
    return [target.partition('#')[::2] for target in targets if '://' not in target]


def dead(page, found):
    """Those of (path from `page`, anchor) that lead nowhere."""
    def leads(path, anchor):
        target = page.parent / path if path else page
        return target.exists() and (not anchor or anchor in headings(target.read_text()))
    return [(path, anchor) for path, anchor in found if not leads(path, anchor)]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert dead(page, links(page.read_text())) == []


def test_headings_that_docstrings_cite_exist():
    pages = [*(ROOT / 'ntref').rglob('*.py'), *(ROOT / 'docs').rglob('*.md'), *(ROOT / 'validation').glob('*.py')]
    cited = {m for page in pages for m in re.findall(r'(docs/[\w/-]+\.md)(?:#([\w-]+))?', page.read_text())}
    assert dead(ROOT / 'README.md', cited) == [] and len(cited) > 20


def test_the_reader_of_links_sees_them(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('# A `b`, c-d\n## [E](page.md) f!\n[](#a-b-c-d) [](#e-f) [](https://a.b/c#d)\n[](page.md#none)\n'
                    '[](no.md)\n```\n# no heading\n[](not/a/link.md)\n```\n[](#no-heading)\n')
    assert dead(page, links(page.read_text())) == [('page.md', 'none'), ('no.md', ''), ('', 'no-heading')]
    assert sum(len(links(page.read_text())) for page in PAGES) > 100
