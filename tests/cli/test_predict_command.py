"""`ntref predict`, and the files that commands read: what is printed is what the functions of Python return."""
import csv
import json
import re

import numpy
import pytest

from ntref import predict, stax
from ntref.cli import inputs, main
from ntref.predict.ridge import GRID

NET = stax.serial(stax.Dense(8, 1.5, .3), stax.Erf(), stax.Dense(1, 1.2, .1))
X = numpy.random.default_rng(0).standard_normal((12, 3))
Y = numpy.stack([numpy.sin(X).sum(1), X[:, 0] * X[:, 1]], 1)
X_TEST = numpy.random.default_rng(1).standard_normal((5, 3))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a network, a training set in each form, and test inputs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'net.json').write_text(json.dumps(NET.to_spec()))
    rows = [['a', 'b', 'c', 'y1', 'y2'], *([repr(float(v)) for v in row] for row in numpy.column_stack([X, Y]))]
    with open('train.csv', 'w', newline='') as f:
        csv.writer(f).writerows(rows)
    numpy.savetxt('test.csv', X_TEST, delimiter=',', fmt='%.17g')
    numpy.savez('train.npz', x=X, y=Y)
    numpy.save('x.npy', X)
    numpy.save('y.npy', Y)
    numpy.save('test.npy', X_TEST)
    numpy.savez('test.npz', x=X_TEST, other=X)
    return tmp_path


def expected(get='ntk', t=None, diag_reg=1e-3, y=Y):
    predict_fn = predict.gradient_descent_mse_ensemble(NET, X, y, diag_reg=diag_reg)
    mean, covariance = predict_fn(t=t, x_test=X_TEST, get=get, compute_cov=True)
    return mean, numpy.sqrt(numpy.diagonal(covariance))


def printed(argv, capsys):
    """Numbers and header of the CSV that a command prints, and what it says on stderr."""
    assert main(argv) == 0
    out, err = capsys.readouterr()
    head, *rows = csv.reader(out.splitlines())
    return numpy.array(rows, float), head, err


SETS = {
    'csv': ['train.csv', 'test.csv', '--targets', '2'],
    'npz': ['train.npz', 'test.npy'],
    'two files': ['x.npy', 'test.npz', '--y', 'y.npy'],
    'an array of several': ['train.npz:x', 'test.npz', '--y', 'train.npz:y'],
}


@pytest.mark.parametrize('files', SETS)
def test_predictions_are_those_of_python_to_the_last_bit(files, folder, capsys):
    table, head, err = printed(['predict', 'net.json', *SETS[files], '--diag-reg', '1e-3'], capsys)
    mean, sd = expected()
    assert head == ['mean_1', 'mean_2', 'sd'] and err == ''
    assert numpy.array_equal(table, numpy.column_stack([mean, sd]))


@pytest.mark.parametrize('get', ['nngp', 'ntk'])
def test_time_and_kernel(get, folder, capsys):
    argv = ['predict', 'net.json', *SETS['npz'], '--diag-reg', '0.01', '--get', get, '--t', '30']
    table, _, _ = printed(argv, capsys)
    assert numpy.array_equal(table, numpy.column_stack(expected(get, 30., .01)))


def test_one_target_is_the_last_column(folder, capsys):
    numpy.savetxt('one.csv', numpy.column_stack([X, Y[:, 0]]), delimiter=',', fmt='%.17g')
    table, head, _ = printed(['predict', 'net.json', 'one.csv', 'test.csv', '--diag-reg', '1e-3'], capsys)
    assert head == ['mean', 'sd'] and numpy.array_equal(table, numpy.column_stack(expected(y=Y[:, :1])))


@pytest.mark.parametrize('get, prior', [('nngp', 'nngp'), ('ntk', 'ntkgp')])
def test_diag_reg_by_evidence_and_by_leaving_one_out(get, prior, folder, capsys):
    """Each is the best of those that are tried, by functions that try one at a time."""
    k = NET.kernel_fn(X, None, get)
    evidence = [predict.log_marginal_likelihood(k, Y, ridge, get=prior) for ridge in GRID]
    alone = [predict.leave_one_out(k, Y, ridge, get=prior).log_density.sum() for ridge in GRID]
    best = {'evidence': GRID[numpy.argmax(evidence)], 'loo': GRID[numpy.argmax(alone)]}
    for how, ridge in best.items():
        table, _, err = printed(
            ['predict', 'net.json', *SETS['npz'], '--diag-reg', how, '--get', get], capsys)
        assert err == f'ntref predict: diag_reg {ridge:.3g} by {how}\n'
        assert numpy.array_equal(table, numpy.column_stack(expected(get, diag_reg=ridge)))


@pytest.mark.parametrize('name', ['out.csv', 'out.npy', 'out.npz'])
def test_predictions_in_files(name, folder, capsys):
    assert main(['predict', 'net.json', *SETS['npz'], '--diag-reg', '1e-3', '--out', name]) == 0
    assert capsys.readouterr().out == f'{name}: 5 predictions\n'
    mean, sd = expected()
    if name == 'out.npz':
        found = inputs.tables(name)
        assert numpy.array_equal(found['mean'], mean) and numpy.array_equal(found['sd'], sd)
    else:
        assert numpy.array_equal(inputs.array(name), numpy.column_stack([mean, sd]))


def test_images_with_their_targets_in_a_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    net = stax.serial(stax.Conv(8, (3, 3), padding='SAME'), stax.Relu(), stax.Flatten(), stax.Dense(1))
    rng = numpy.random.default_rng(2)
    x = rng.standard_normal((6, 4, 4, 2))
    x_test = rng.standard_normal((3, 4, 4, 2))
    y = rng.standard_normal(6)
    (tmp_path / 'net.json').write_text(json.dumps(net.to_spec()))
    for name, a in (('x', x), ('y', y), ('test', x_test)):
        numpy.save(name, a)
    table, head, _ = printed(['predict', 'net.json', 'x.npy', 'test.npy', '--y', 'y.npy', '--diag-reg', '.1'], capsys)
    mean, covariance = predict.gradient_descent_mse_ensemble(net, x, y[:, None], diag_reg=.1)(
        x_test=x_test, get='ntk', compute_cov=True)
    assert head == ['mean', 'sd']
    assert numpy.array_equal(table, numpy.column_stack([mean, numpy.sqrt(numpy.diagonal(covariance))]))


def test_what_is_warned_of_is_said(folder, capsys):
    """Two equal inputs without diag_reg."""
    numpy.savez('twice.npz', x=X[[0, 0, 1]], y=Y[:3])
    _, _, err = printed(['predict', 'net.json', 'twice.npz', 'test.npy'], capsys)
    assert err.startswith('ntref predict: ') and 'eigenvalue' in err


@pytest.mark.parametrize('argv, text', [
    (['train.csv', 'test.csv', '--targets', '5'], 'expected more than 5 columns in train.csv'),
    (['train.csv', 'test.csv'], 'expected inputs in test.csv of the shape of those in train.csv, (4,), got (3,)'),
    (['x.npy', 'test.npy'], 'expected arrays x and y in x.npy'),
    (['test.npz', 'test.npy'], 'expected arrays x and y in test.npz, got x, other'),
    (['x.npy', 'test.npy', '--y', 'test.npy'], 'expected as many targets as inputs'),
    (['train.npz:z', 'test.npy', '--y', 'y.npy'], 'expected an array z in train.npz, got 2 arrays (x, y)')])
def test_data_that_do_not_fit(argv, text, folder, capsys):
    assert main(['predict', 'net.json', *argv]) == 1
    out, err = capsys.readouterr()
    assert out == '' and text in err and err.count('\n') == 1


# ------------------------------------------------------------------ CSV

@pytest.mark.parametrize('text, numbers', [
    ('1,2\n3,4\n', [[1, 2], [3, 4]]), ('a,b\r\n1,2\r\n', [[1, 2]]), ('\ufeffx\n0.1\n', [[.1]]),
    ('"a, b",c\n1e-3, -2\n\n', [[1e-3, -2]]), ('5', [[5]]), ('nan,1\n2,3\n', [[numpy.nan, 1], [2, 3]])])
def test_csv(text, numbers, tmp_path):
    (tmp_path / 'a.csv').write_text(text, encoding='utf-8', newline='')
    assert numpy.array_equal(inputs.array(str(tmp_path / 'a.csv')), numpy.array(numbers, float), equal_nan=True)


@pytest.mark.parametrize('train, test, said', [
    ('a,b,y\n1,2,3\n4,5,7\n', 'b,a\n2,1\n', 'the columns a, b in b.csv, in the order of a.csv, got b, a'),
    ('a,b,y\n1,2,3\n4,5,7\n', 'a,c\n2,1\n', 'the columns a, b in b.csv'),
    ('"","a","y"\n"1",2,3\n"2",5,7\n', 'a\n2\n', 'each column of a.csv, got none for the first.* row.names=FALSE'),
    ('a,y\n1,3\n4,7\n', ',a\n0,2\n', 'each column of b.csv, got none for the first.* index=False')])
def test_columns_go_by_their_names(train, test, said, tmp_path, monkeypatch, capsys):
    """Columns in another order, and names of rows taken for a feature, would give wrong predictions."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.csv').write_text(train)
    (tmp_path / 'b.csv').write_text(test)
    assert main(['predict', 'relu', 'a.csv', 'b.csv', '--diag-reg', '.1']) == 1
    out, err = capsys.readouterr()
    assert out == '' and re.search(said, err) and err.count('\n') == 1


@pytest.mark.parametrize('test', ['a,b\n2,1\n', ' a ,b\n2,1\n', '2,1\n'])
def test_columns_with_the_same_names_or_none(test, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'a.csv').write_text('a,b,y\n1,2,3\n4,5,7\n')
    (tmp_path / 'b.csv').write_text(test)
    assert main(['predict', 'relu', 'a.csv', 'b.csv', '--diag-reg', '.1']) == 0
    assert capsys.readouterr().out.startswith('mean,sd\n')


@pytest.mark.parametrize('text, said', [
    ('', 'got none'), ('a,b\n', 'got none'), ('1,2\n3\n', 'expected 2 numbers in each row of .*, got 1 in row 2'),
    ('1,2\n3,x\n', "got 'x' in row 2"), ('1,\n', "got '' in row 1"), ('a;b\n1;2\n', "got '1;2' in row 1|got none")])
def test_csv_without_rows_of_numbers(text, said, tmp_path):
    (tmp_path / 'a.csv').write_text(text)
    with pytest.raises(ValueError, match=said):
        inputs.array(str(tmp_path / 'a.csv'))


def test_csv_of_bytes_that_are_no_text(tmp_path):
    (tmp_path / 'a.csv').write_bytes(b'\xff\xfe1\x00')
    with pytest.raises(ValueError, match='expected rows of numbers in .*a.csv, got: '):
        inputs.array(str(tmp_path / 'a.csv'))
