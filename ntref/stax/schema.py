"""The JSON Schema of networks, made from the layers' arguments; `python -m ntref.stax.schema` writes it anew."""
import json
from dataclasses import MISSING, fields
from inspect import getdoc
from pathlib import Path
from typing import get_args

from ..windows import PADDINGS, RESIZERS
from .layer import Layer
from .spec import VERSION

__all__ = ['PATH', 'schema', 'written']

PATH = Path(__file__).with_name('network.schema.json')


def _list(items, least=0, most=None):
    limits = {}
    if least:
        limits['minItems'] = least
    if most:
        limits['maxItems'] = most
    return {'type': 'array', 'items': items} | limits


WHOLE = {'type': 'integer'}
NUMBER = {'type': 'number'}
ABOVE_ZERO = {'type': 'number', 'exclusiveMinimum': 0}
NOT_NEGATIVE = {'type': 'integer', 'minimum': 0}
POSITIVE = {'type': 'integer', 'minimum': 1}
NULL = {'type': 'null'}
LAYER = {'$ref': '#/$defs/layer'}
NUMBERS = {'$ref': '#/$defs/numbers'}
SLICE = {
    'type': 'object',
    'required': ['slice'],
    'additionalProperties': False,
    'properties': {'slice': {'anyOf': [{'const': '...'}, _list({'type': ['integer', 'null']}, 3, 3)]}},
}
OF_FUNCTIONS = 'Elementwise', 'ElementwiseNumerical'          # JSON cannot hold functions

TYPES = {
    float: NUMBER,
    int: WHOLE,
    bool: {'type': 'boolean'},
    str: {'type': 'string'},
    tuple: _list(WHOLE),
    type(None): NULL,
    Layer: LAYER,
}
"""Of an argument -> what it is in JSON. A function is nothing there."""

ARGUMENTS = {
    'layers': _list(LAYER, 1),
    'coef': _list(NUMBER),
    's': _list(ABOVE_ZERO, 2, 2),
    'dimension_numbers': {'anyOf': [NULL, _list({'type': 'string'}, 3, 3)]},
    'DotGeneral.dimension_numbers': _list(_list(_list(NOT_NEGATIVE), 2, 2), 2, 2),
    **dict.fromkeys(('lhs', 'rhs'), {'anyOf': [NULL, NUMBERS]}),
    'precision': {'description': 'without effect'},
    'idx': {'anyOf': [WHOLE, SLICE, _list({'anyOf': [WHOLE, SLICE]})]},
    'shape': _list({'type': 'integer', 'minimum': -1}),
    'strides': {'anyOf': [NULL, _list(POSITIVE)]},
    **dict.fromkeys(('filter_shape', 'window_shape'), _list(POSITIVE)),
    **dict.fromkeys(('out_dim', 'out_chan', 'num'), POSITIVE),
    **dict.fromkeys(('n_chan_out', 'n_chan_key', 'n_chan_val', 'n_heads'), POSITIVE),
    'n_chan_pos_emb': {'anyOf': [NULL, POSITIVE]},
    **dict.fromkeys(('n', 'degree'), NOT_NEGATIVE),
    'rate': {'type': 'number', 'exclusiveMinimum': 0, 'maximum': 1},
    **dict.fromkeys(('eps', 'pos_emb_p_norm'), ABOVE_ZERO),
    'batch_axis_out': {'enum': [0, 1, -1]},
    'padding': {'enum': list(PADDINGS)},
    'method': {'enum': list(RESIZERS)},
    'mode': {'enum': ['train', 'test']},
    'parameterization': {'enum': ['ntk', 'standard']},
    'implementation': {'enum': ['DENSE', 'SPARSE']},
    'attention_mechanism': {'enum': ['SOFTMAX', 'IDENTITY', 'ABS', 'RELU']},
    'pos_emb_type': {'enum': ['NONE', 'SUM', 'CONCAT']},
}
"""What is closer than the type, by the name of the argument, which means the same in all layers but where it is said.
Names as `to_spec` writes them; `from_spec` reads them in any case."""


def schema() -> dict:
    """Return the JSON Schema (draft 2020-12) of what `from_spec` reads, for the layers of this library.

    Returns
    -------
    dict

    Examples
    --------
    >>> schema()['$defs']['Dense']['required']
    ['layer', 'out_dim']
    """
    ours = {name for name, cls in Layer.registry.items() if cls.is_ours()}
    names = sorted(ours - set(OF_FUNCTIONS))
    whole = {
        'type': 'object',
        'required': ['ntref', 'network'],
        'additionalProperties': False,
        'properties': {'ntref': {'const': VERSION}, 'network': LAYER},
    }
    layer = {
        'type': 'object',
        'required': ['layer'],
        'properties': {'layer': {'enum': names}},
        'allOf': [_if_named(name) for name in names],
    }
    return {
        '$schema': 'https://json-schema.org/draft/2020-12/schema',
        '$id': f'urn:ntref:network:{VERSION}',
        'title': f'A network of ntref, version {VERSION}',
        'if': {'required': ['ntref']},
        'then': whole,
        'else': LAYER,
        '$defs': {
            'layer': layer,
            'numbers': {'anyOf': [NUMBER, _list(NUMBERS, 1)]},
            **{name: _layer(name) for name in names},
        },
    }


def _if_named(name):
    """Return what sends a layer of this name to its definition."""
    return {
        'if': {'properties': {'layer': {'const': name}}, 'required': ['layer']},
        'then': {'$ref': f'#/$defs/{name}'},
    }


def _layer(name):
    """Return what a layer of this name is in JSON."""
    cls = Layer.registry[name]
    types = {f.name: f.type for f in fields(cls)}
    defaults = cls.parameters()
    required = [argument for argument, default in defaults.items() if default is MISSING]
    properties = {'layer': {'const': name}}
    for argument, default in defaults.items():
        properties[argument] = _argument(name, argument, types[argument], default)
    return {
        'type': 'object',
        'description': getdoc(cls).partition('\n')[0],
        'additionalProperties': False,
        'properties': properties,
        'required': ['layer', *required],
    }


def _argument(layer, name, given, default):
    """Return what an argument is in JSON, by its name or by its type `given`."""
    known = [TYPES[t] for t in get_args(given) or (given,) if t in TYPES] or [NULL]
    by_type = known[0] if len(known) == 1 else {'anyOf': known}
    value = ARGUMENTS.get(f'{layer}.{name}') or ARGUMENTS.get(name) or by_type
    return value if default is MISSING else value | {'default': json.loads(json.dumps(default))}


def written() -> str:
    """Return the schema as the text that stands in the file."""
    return json.dumps(schema(), indent=1) + '\n'


if __name__ == '__main__':
    PATH.write_text(written())
