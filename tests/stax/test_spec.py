"""Networks as JSON: round trips, the schema, and what is refused, with its place."""
import json
import re
import string

import jsonschema
import numpy
import pytest
from examples import NETWORKS

from ntref import stax
from ntref.stax import Dense, Layer, Relu, from_spec, repeat, serial
from ntref.stax.schema import PATH, schema, written

WRITABLE = [net for _, net in NETWORKS if not re.search(r'Elementwise|decay', repr(net))]
VALIDATOR = jsonschema.Draft202012Validator(json.loads(PATH.read_text()))
NET = serial(Dense(8, 1.1), repeat(serial(Relu(), Dense(8)), 2), Relu())


def document(net):
    return json.loads(json.dumps({'ntref': 1, 'network': net.to_spec()}))


def refusal(spec):
    with pytest.raises(ValueError) as caught:
        from_spec(spec)
    return str(caught.value)


# ------------------------------------------------------------------ the schema

def test_the_file_is_up_to_date_and_a_schema():
    """`python -m ntref.stax.schema` writes it."""
    assert PATH.read_text() == written()
    jsonschema.Draft202012Validator.check_schema(schema())
    ours = {name for name in stax.__all__ if name in Layer.registry} - {'Elementwise', 'ElementwiseNumerical'}
    assert set(schema()['$defs']) - {'layer', 'numbers'} == ours and len(ours) > 45


@pytest.mark.parametrize('net', WRITABLE, ids=repr)
def test_networks_go_into_json_and_back(net):
    spec = document(net)
    assert VALIDATOR.is_valid(spec) and VALIDATOR.is_valid(spec['network'])
    assert from_spec(spec) == from_spec(spec['network']) == net and from_spec(spec).to_spec() == net.to_spec()


def nodes(value, path=()):
    """All places of a JSON value."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from nodes(child, (*path, key))


def put(value, path, new):
    """A copy with another value at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize('net', WRITABLE, ids=repr)
def test_the_schema_refuses_what_is_unknown_or_of_another_type(net):
    spec = document(net)
    for path in nodes(spec):
        if path and path[-1] == 'layer':
            assert not VALIDATOR.is_valid(put(spec, path, 'Densest'))
            assert not VALIDATOR.is_valid(put(spec, path[:-1], dict(at(spec, path[:-1]), width=3)))
        if not (path and 'precision' in path):
            assert not VALIDATOR.is_valid(put(spec, path, {'a': 1})), path


def at(value, path):
    return at(value[path[0]], path[1:]) if path else value


def test_defaults_of_the_schema_are_those_of_the_layers():
    for name, definition in schema()['$defs'].items():
        if name in Layer.registry:
            given = {k: from_json(v['default']) for k, v in definition['properties'].items() if 'default' in v}
            known = {k: v for k, v in Layer.registry[name].parameters().items() if k in given}
            assert given == known and set(definition['required']) == {
                'layer', *Layer.registry[name].parameters()} - set(given)


def from_json(value):
    return tuple(map(from_json, value)) if isinstance(value, list) else value


# ------------------------------------------------------------------ errors name the place

@pytest.mark.parametrize('path, new, text', [
    (('network', 'layers', 0, 'layer'), 'Densest', "network.layers[0]: expected a layer out of .*; got 'Densest'"),
    (('network', 'layers', 1, 'block', 'layers', 1, 'out_dim'), 'x',
     r"network.layers\[1\].block.layers\[1\]: Dense: expected out_dim to be a whole number, got 'x'"),
    (('network', 'layers', 1, 'n'), -1, r'network.layers\[1\]: repeat: n is expected to be a whole number >= 0'),
    (('network', 'layers', 1, 'n'), 2., r'network.layers\[1\]: repeat: expected n to be a whole number, got 2.0'),
    (('network', 'layers', 1, 'block'), 3, r'network.layers\[1\]: repeat: expected block to be a layer, got 3'),
    (('network', 'layers', 0, 'W_std'), True, r'network.layers\[0\]: Dense: expected W_std to be a number, got True'),
    (('network', 'layers', 0, 'W_std'), None, r'network.layers\[0\]: Dense: expected W_std to be a number, got None'),
    (('network', 'layers', 2), {'layer': 'Relu', 'alpha': 1},
     r"network.layers\[2\]: Relu: expected arguments out of \['do_stabilize'\], got \['alpha'\]"),
    (('network', 'layers', 2), [], r"network: serial: expected layers such as Relu\(\), got \(\) as number 2"),
    (('network', 'layers', 2), {'slice': [1]}, r"network.layers\[2\]: expected {'slice': \[start, stop, step\]}"),
    (('network', 'layers'), [], 'network: serial: expected at least one layer'),
    (('network',), None, "network: expected a layer {'layer': name, ...}, got None"),
    (('ntref',), 2, "expected a network {'ntref': 1, .* got {'ntref': 2, "),
    (('ntref',), True, "expected a network {'ntref': 1"), ((), {'ntref': 1}, "expected a network {'ntref': 1"),
    ((), {'ntref': 1, 'network': {'layer': 'Relu'}, 'author': 'me'}, "expected a network {'ntref': 1")])
def test_errors_name_the_place(path, new, text):
    assert re.match(text.replace('network.layers[0]', r'network.layers\[0\]'), refusal(put(document(NET), path, new)))


def test_too_deep():
    spec = {'layer': 'Relu'}
    for _ in range(90):
        spec = {'layer': 'serial', 'layers': [spec]}
    assert from_spec(spec).to_spec() == spec
    for _ in range(2000):
        spec = {'layer': 'serial', 'layers': [spec]}
    message = refusal(spec)
    assert message.startswith('layers[0].layers[0]') and 'expected at most 200 layers and lists in one' in message
    lists = 3
    for _ in range(2000):
        lists = [lists]
    assert 'at most 200' in refusal({'layer': 'Polynomial', 'coef': lists})


# ------------------------------------------------------------------ short texts that would take all time or memory

def layer(name, **given):
    return {'layer': name} | given


def within(spec, n):
    return layer('repeat', block=spec, n=n)


RELU = layer('Relu')
HUGE = {
    'branches': (layer('FanOut', num=10 ** 6), 'FanOut: expected num of at most 1000, got 1000000'),
    'degree': (layer('Hermite', degree=10 ** 6), 'Hermite: expected degree of at most 100'),
    'a degree of many digits': (layer('Monomial', degree=10 ** 5000), 'Monomial: .* int that is too long to be shown'),
    'degree of a kink': (layer('RectifiedMonomial', degree=101), 'at most 100, got 101'),
    'filters': (layer('Conv', out_chan=10 ** 9, filter_shape=[3]), 'Conv: expected out_chan of at most 1000000'),
    'a filter': (layer('Conv', out_chan=1, filter_shape=[3, 10 ** 9]), 'Conv: expected filter_shape of at most 10000'),
    'a window': (layer('AvgPool', window_shape=[10 ** 9]), 'AvgPool: expected window_shape of at most'),
    'strides': (layer('ConvTranspose', out_chan=1, filter_shape=[3], strides=[10 ** 9]), 'ConvTranspose: .* strides'),
    'width': (layer('Dense', out_dim=10 ** 12), 'Dense: expected out_dim of at most 1000000, got 1000000000000'),
    'channels': (layer('GlobalSelfAttention', n_chan_out=1, n_chan_key=1, n_chan_val=1, n_heads=10 ** 9), 'n_heads'),
    'repeated': (within(RELU, 10 ** 9), 'expected at most 10000 layers in all, got 1000000001'),
    'repeated again and again': (within(within(within(RELU, 100), 100), 100), 'at most 10000 layers'),
    'a list': (layer('serial', layers=[RELU] * 200_000), 'layers: expected at most 10000 layers in all, got 200000'),
}


@pytest.mark.parametrize('what', HUGE)
def test_what_takes_all_time_or_memory_is_refused_with_its_place(what):
    huge, text = HUGE[what]
    message = refusal({'ntref': 1, 'network': layer('serial', layers=[RELU, layer('repeat', n=1, block=huge)])})
    assert re.search(text, message), message
    assert message.startswith('network.layers[1].block')


def test_what_is_large_and_meant_is_read():
    for spec in (within(layer('Dense', out_dim=10 ** 6), 9_000), layer('Hermite', degree=100),
                 layer('FanOut', num=1000), layer('serial', layers=[RELU] * 9_000),
                 layer('Conv', out_chan=1, filter_shape=[10_000])):
        assert from_spec(spec).to_spec() == spec


def test_what_is_too_deep_to_be_shown():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for spec in (deep, {'ntref': 1, 'network': deep}, {'ntref': 2, 'network': deep}, {'layer': deep},
                 layer('Dense', out_dim=deep), layer('Index', idx={'slice': deep})):
        assert 'too long to be shown' in refusal(spec) or 'at most 200' in refusal(spec)


# ------------------------------------------------------------------ garbage

def garbage(rng, depth=3):
    """A random JSON value, which often looks like part of a network."""
    texts = [*Layer.registry, 'SAME', 'standard', '__import__("os")', '', 'layer', 'slice', '...', 'é\x00']
    keys = ['layer', 'slice', 'layers', 'block', 'W_std', 's', 'axis', 'shape', 'coef', 'idx', *string.ascii_lowercase]
    choices = [lambda: None, lambda: bool(rng.integers(2)), lambda: int(rng.integers(-3, 4)), lambda: 10 ** 400,
               lambda: float(rng.choice([.5, -1e300, numpy.inf, numpy.nan])), lambda: str(rng.choice(texts))]
    if depth:
        choices += 2 * [lambda: [garbage(rng, depth - 1) for _ in range(rng.integers(4))], lambda: {
            str(rng.choice(keys)): garbage(rng, depth - 1) for _ in range(rng.integers(4))}]
    return choices[rng.integers(len(choices))]()


def test_garbage_is_a_network_or_a_value_error(rng):
    """Anywhere in a network, and in place of it."""
    read, refused = 0, []
    for _ in range(150):
        for net in (WRITABLE[i] for i in rng.integers(len(WRITABLE), size=10)):
            spec = document(net)
            places = list(nodes(spec))
            path = places[rng.integers(len(places))]
            try:
                assert isinstance(from_spec(put(spec, path, garbage(rng))), Layer)
                read += 1
            except ValueError as e:
                refused.append(str(e))
    assert 50 < read < len(refused) > 500
    assert all(text.startswith(('network', 'expected a layer', "expected a network {'ntref': 1")) for text in refused)
