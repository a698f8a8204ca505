"""`ntref migrate`: every row of its table; scripts in the style of public ones, changed as they are told, and run."""
import ast
import json
import re

import numpy
import pytest

import ntref
from ntref import migration, predict, stax
from ntref.cli import main
from ntref.migration.findings import TABLE, _exists
from ntref.migration.rules import CHANGE, LOOK, STOP

KINDS = {CHANGE: 2, LOOK: 0, STOP: 3}


def script(text, tmp_path, name='script.py'):
    path = tmp_path / name
    path.write_text(text)
    return migration.load(str(path))


def found(text, tmp_path):
    """[(line, what to write)] of a script."""
    return [(f.line, f.write) for f in migration.read(script(text, tmp_path)).findings]


# ------------------------------------------------------------------ the table

ROWS = [row for rows in TABLE.values() for row in rows]


def use_of(row):
    """A script that uses what the row is about, on its last line."""
    given = [f'a{i}' for i in range(len(row.arguments.split()))]
    arguments = ', '.join([*given, *([f'{row.keyword}=1'] if row.keyword else [])])
    if row.name.startswith('.at'):
        call = f'x.at[3]{row.name.removeprefix(".at")}(v)'
    elif row.name.startswith('.'):
        call = f'x{row.name}()'
    elif row.name.endswith('='):
        call = f'f({row.name}1)'
    elif row.name == 'b is None':
        call = row.name
    else:
        module, _, last = row.name.replace('*', 'thing').rpartition('.')
        return f'import jax, {module} as its_module\nits_module.{last}({arguments})'
    return f'import jax\n{call}'


@pytest.mark.parametrize('row', ROWS, ids=lambda row: f'{row.name} {row.keyword}'.strip())
def test_each_row_is_found_where_its_name_is_used(row, tmp_path):
    reading = migration.read(script(use_of(row), tmp_path))
    last = [f for f in reading.findings if f.line == 2]
    assert (row.why, row.page, row.verdict) in [(f.why, f.page, f.verdict) for f in last]
    assert not any(re.search('[{}]', f.write) for f in last), 'an argument has no value'
    assert migration.status(reading) == max(KINDS[row.verdict], 2)             # the import is to be changed, too


def test_what_rows_write_exists():
    """Imports can be executed, and names of ntref, NumPy, SciPy and autograd in them are there."""
    for needs in sorted({row.needs for row in ROWS} - {''}):
        exec(needs, {})
    written = ' '.join(f'{row.write} {row.why}' for row in ROWS)
    names = set(re.findall(r'\b(?:ntref|numpy|scipy|autograd)(?:\.\w+)+', written))
    assert len(names) > 25 and [name for name in sorted(names) if not _exists(name) and '{' not in name] == []


def test_exists():
    assert _exists('numpy.linalg.norm') and _exists('ntref.stax.Padding.SAME') and not _exists('numpy.linalg.none')
    assert not _exists('no_such_module.x')


# ------------------------------------------------------------------ what is found

@pytest.mark.parametrize('text, expected', [
    ('from jax import numpy as np\nnp.dot(a, b)', [(1, 'import numpy as np')]),
    ('import jax.numpy as np\nfrom jax import grad\ngrad(np.sum)(x)',
     [(1, 'import autograd.numpy as np'), (2, 'from autograd import grad')]),
    ('import jax\njax.grad(f)(x)', [(1, ''), (2, 'autograd.grad(f)')]),
    ('import jax\njax.numpy.dot(a, b)', [(1, ''), (2, 'numpy.dot(a, b)')]),
    ('from jax.numpy import *', [(1, 'from numpy import *')]),
    ('from jax.numpy import dot as times', [(1, 'from numpy import dot as times')]),
    ('import jax.numpy as np\nnp.no_such_thing(x)', [(1, 'import numpy as np'),
                                                     (2, 'what no_such_thing does, with numpy')]),
    ('from neural_tangents import stax\nstax.NoLayer()', [(1, 'from ntref import stax'),
                                                          (2, 'what NoLayer does, with numpy')]),
    ('from jax import jit\n@jit\ndef f(x):\n    return x', [(1, ''), (2, '')]),
    ('from functools import partial\nimport jax\n@partial(jax.jit, static_argnums=0)\ndef f(x):\n    return x',
     [(2, ''), (3, '')]),
    ('from jax import random\nsplit = random.split\na, b = split(key, num=2)', [
        (1, ''), (2, 'key.spawn(2)'), (3, 'key.spawn(2)')]),
    ('from jax import random\nrandom.normal(shape=(2, 3), key=k)', [(1, ''), (2, 'k.standard_normal((2, 3))')]),
    ('from jax import random\ndef f(random):\n    return random.split(1)', [(1, '')]),
    ('from jax import grad\ngrad = 3\ngrad(f)', [(1, 'from autograd import grad')]),
    ('def f():\n    from jax import jit\n    return jit(g)', [(2, ''), (3, 'g')]),
    ('from jax.experimental import optimizers\noptimizers.sgd(1e-3)', [(1, ''), (2, 'sgd(0.001)')]),
    ('from jax.api import vmap\nvmap(f)', [(1, 'import numpy'),
                                           (2, '(lambda xs: numpy.stack([(f)(x) for x in xs]))')]),
    ('from jax import grad\ngrad(f, has_aux=True)', [(1, 'from autograd import grad'), (2, 'grad_and_aux(f)')]),
    ('import jax\ny = x.at[0, 1:].add(v)', [(1, ''),
                                            (2, 'x = x.copy(); numpy.add.at(x, numpy.s_[0, 1:], v)')]),
    ('import neural_tangents as nt\nnt.monte_carlo_kernel_fn(a, b, key, 5, vmap_axes=0)',
     [(1, 'import ntref as nt'), (2, 'nt.monte_carlo_kernel_fn(a, b, 0, 5, vmap_axes=0)')]),
    ('from jax import vjp\nvalue, pull = vjp(f, x)', [(1, 'from autograd import make_vjp'), (2, 'make_vjp(f)(x)')]),
    ('import numpy as np\nnp.random.normal(3)', []), ('x.at[0].set(1)\nx.astuple()', []), ('', []),
    ('from . import jax\njax.jit(f)', []), ('import ntref as nt\nnt.stax.Relu()', [])])
def test_what_is_to_be_changed(text, expected, tmp_path):
    assert found(text, tmp_path) == [(line, write) for line, write in expected]


def test_names_that_run_as_they_are(tmp_path):
    text = 'from neural_tangents import stax\nimport jax.numpy as jnp\nstax.serial(stax.Relu())\njnp.dot(a, b)'
    assert migration.read(script(text, tmp_path)).kept == ['ntref.stax.Relu', 'ntref.stax.serial', 'numpy.dot']


# ------------------------------------------------------------------ scripts, changed as they are told

def ported(text, tmp_path):
    """Change what is to be changed, imports last, until nothing is."""
    needs, imports = set(), {f.stands: f.write for f in migration.read(script(text, tmp_path)).findings}
    for _ in range(40):
        findings = [f for f in migration.read(script(text, tmp_path)).findings if f.verdict == CHANGE]
        if not findings:
            return '\n'.join([*sorted(needs), text])
        finding = min(findings, key=lambda f: (f.stands.startswith(('import ', 'from ')), f.line))
        finding = finding._replace(write=imports.get(finding.stands, finding.write))
        needs |= {finding.needs} - {''}
        lines = text.split('\n')
        line = lines[finding.line - 1]
        assert finding.stands in line, (finding, line)
        is_whole = line.strip() == finding.stands and not finding.write
        changed = line.replace(finding.stands, finding.write, 1)
        lines[finding.line - 1] = 'pass' if is_whole and line[0] != '@' else changed
        text = '\n'.join(lines)
    raise AssertionError(f'no end of changes: {findings}')


def run(text, tmp_path):
    names = {}
    exec(compile(ported(text, tmp_path), 'ported', 'exec'), names)
    return names


FUNCTION_SPACE = """
import jax.numpy as np
from jax import jit
from jax.config import config
import neural_tangents as nt
from neural_tangents import stax
config.update('jax_enable_x64', True)
x, x_test = np.linspace(-1, 1, 8)[:, None], np.linspace(-2, 2, 5)[:, None]
y = np.sin(3 * x)
init_fn, apply_fn, kernel_fn = stax.serial(stax.Dense(512, W_std=1.5, b_std=0.05), stax.Erf(), stax.Dense(1))
kernel_fn = jit(kernel_fn, static_argnums=(2,))
kernel_fn = nt.batch(kernel_fn, batch_size=3, device_count=0, store_on_device=False)
predict_fn = nt.predict.gradient_descent_mse_ensemble(kernel_fn, x, y, diag_reg=1e-4)
mean, covariance = predict_fn(x_test=x_test, get='ntk', compute_cov=True)
"""


def test_function_space(tmp_path):
    names = run(FUNCTION_SPACE, tmp_path)
    net = stax.serial(stax.Dense(512, 1.5, .05), stax.Erf(), stax.Dense(1))
    expected = predict.gradient_descent_mse_ensemble(net, names['x'], names['y'], diag_reg=1e-4)(
        x_test=names['x_test'], get='ntk', compute_cov=True)
    numpy.testing.assert_allclose(names['mean'], expected.mean, rtol=1e-9)
    numpy.testing.assert_allclose(names['covariance'], expected.covariance, rtol=0, atol=1e-9)


WEIGHT_SPACE = """
from jax import grad, jit, random
import jax.numpy as np
import neural_tangents as nt
from neural_tangents import stax
key, net_key = random.split(random.PRNGKey(0))
x = random.normal(key, (6, 3))
init_fn, f, _ = stax.serial(stax.Dense(16, 1.0, 0.05), stax.Erf(), stax.Dense(1, 1.0, 0.05))
_, params = init_fn(net_key, (-1, 3))
f_lin = nt.linearize(f, params)
loss = jit(lambda w: np.sum(f_lin(w, x) ** 2))
slope = jit(grad(loss))(params)
ntk = jit(nt.empirical_ntk_fn(f, vmap_axes=0))(x, None, params)
"""


def test_weight_space(tmp_path):
    """The gradient of sum f^2 is J' 2f, of which J times it is the NTK times 2f."""
    names = run(WEIGHT_SPACE, tmp_path)
    from autograd import make_jvp
    fx = names['f'](names['params'], names['x'])
    _, along = make_jvp(lambda w: names['f'](w, names['x']))(names['params'])(names['slope'])
    numpy.testing.assert_allclose(along, names['ntk'] @ (2 * fx), rtol=1e-10)


PIECES = """
import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
x = jnp.cos(jnp.arange(12.0)).reshape(4, 3)
a = jax.nn.log_softmax(x)
b = jax.nn.softplus(x)
c = cho_solve(cho_factor(x.T @ x + jnp.eye(3)), x.T)
d = jax.vmap(lambda row: row @ row)(x)
e = lax.cond(True, jnp.sin, jnp.cos, 1.0)
value, tangent = jax.jvp(jnp.sin, (x,), (x,))
g = jax.tree_util.tree_map(lambda p: 2 * p, [x, (x,)])
h = lax.map(lambda row: 3 * row, x).block_until_ready()
i = jax.nn.elu(x)
j = jax.nn.softmax(x)
k = jax.jacfwd(lambda y: y ** 2)(x[0])
"""


def test_pieces(tmp_path):
    names = run(PIECES, tmp_path)
    x = numpy.cos(numpy.arange(12.)).reshape(4, 3)
    softmax = numpy.exp(x) / numpy.exp(x).sum(-1, keepdims=True)
    expected = {'a': numpy.log(softmax), 'b': numpy.log(1 + numpy.exp(x)),
                'c': numpy.linalg.solve(x.T @ x + numpy.eye(3), x.T),
                'd': (x ** 2).sum(-1), 'e': numpy.sin(1.), 'value': numpy.sin(x), 'tangent': x * numpy.cos(x),
                'h': 3 * x,
                'i': numpy.where(x > 0, x, numpy.exp(x) - 1), 'j': softmax, 'k': numpy.diag(2 * x[0])}
    for name, value in expected.items():
        numpy.testing.assert_allclose(names[name], value, rtol=1e-12, atol=1e-14, err_msg=name)
    assert (names['g'][0] == 2 * x).all() and (names['g'][1][0] == 2 * x).all()


def test_monte_carlo(tmp_path):
    names = run('import neural_tangents as nt\nfrom neural_tangents import stax\n'
                'from jax import random\nimport jax.numpy as np\n'
                'net = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(2))\nkey = random.PRNGKey(3)\nx = np.eye(3)\n'
                'k = nt.monte_carlo_kernel_fn(net.init_fn, net.apply_fn, key, 4)(x, None, \'ntk\')', tmp_path)
    expected = ntref.monte_carlo_kernel_fn(names['net'].init_fn, names['net'].apply_fn, 0, 4)(numpy.eye(3), None, 'ntk')
    numpy.testing.assert_array_equal(names['k'], expected)


def test_a_script_that_needs_nothing(tmp_path, capsys):
    path = tmp_path / 'fine.py'
    path.write_text('import numpy as np\nfrom ntref import stax\nprint(stax.Relu(), np.eye(2))\n')
    assert main(['migrate', str(path)]) == 0
    assert capsys.readouterr().out == 'fine.py: 0 to change, 0 to look at, 0 that cannot be ported.\n'


def test_what_cannot_be_ported(tmp_path, capsys):
    path = tmp_path / 'net.py'
    path.write_text('import flax.linen as nn\nimport neural_tangents as nt\nlayer = nn.Dense(3)\n')
    assert main(['migrate', str(path)]) == 3
    out = capsys.readouterr().out
    assert out.startswith('line 1: import flax.linen as nn  (cannot be ported as it is)\n')
    assert '\nline 3: nn.Dense(3)  (' in out
    assert out.endswith('net.py: 1 to change, 0 to look at, 2 that cannot be ported.\n')


# ------------------------------------------------------------------ files

def test_a_script_is_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'import jax\nopen("written", "w")\nraise SystemExit(7)\n'
    assert found(text, tmp_path) == [(1, '')] and not (tmp_path / 'written').exists()


@pytest.mark.parametrize('content, text', [
    (b"import jax\nprint 'done'\n", 'got line 2 of'), (b'def f(:\n', 'got line 1 of'), (b'\xff\xfe\x00', 'no text'),
    (b'# coding: no-such\n', 'no text'), (b'x = 1\x00', 'Python 3'), (b'a = ' + b'(' * 500 + b')' * 500, 'Python 3'),
    (b'x = ' + b'1 + ' * 20000 + b'1', 'expected a script')])
def test_what_is_no_script(content, text, tmp_path, capsys):
    path = tmp_path / 'old.py'
    path.write_bytes(content)
    assert main(['migrate', str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == '' and err.startswith('ntref migrate: expected') and text in err and err.count('\n') == 1
    assert main(['migrate', str(tmp_path / 'none.py')]) == 1 and 'none.py' in capsys.readouterr().err


def notebook(*sources, language='python'):
    cells = [{'cell_type': 'code', 'source': source} for source in sources]
    return json.dumps({'metadata': {'kernelspec': {'language': language}}, 'nbformat': 4,
                       'cells': [{'cell_type': 'markdown', 'source': ['# import jax']}, *cells]})


def test_a_notebook(tmp_path, capsys):
    path = tmp_path / 'book.ipynb'
    path.write_text(notebook(['!pip install neural-tangents\n', 'import jax\n', '%matplotlib inline'],
                             '%%bash\nimport x y', 'y = 3\n%time k = jax.jit(f)(y)\nnp.dot?'))
    assert main(['migrate', str(path)]) == 2
    places = re.findall('^(cell .*)$', capsys.readouterr().out, re.M)
    assert places == ['cell 1, line 2: import jax', 'cell 3, line 2: jax.jit(f)']


@pytest.mark.parametrize('text, said', [
    ('{', 'a notebook of version 4'), ('[]', 'a notebook of version 4'), (notebook('x', language='R'), 'one for R'),
    (notebook('x = 1', 'import jax\nprint "a"'), 'got cell 2, line 2 of')])
def test_what_is_no_notebook(text, said, tmp_path, capsys):
    path = tmp_path / 'book.ipynb'
    path.write_text(text)
    assert main(['migrate', str(path)]) == 1 and said in capsys.readouterr().err


def test_places_and_lines_belong_together(tmp_path):
    text = 'import jax\n\n\n@jax.jit\ndef f(x):\n    return jax.device_get(x)\n'
    reading = migration.read(script(text, tmp_path))
    assert [f.line for f in reading.findings] == [1, 4, 6]
    assert ast.unparse(script(text, tmp_path).tree).startswith('import jax')
