"""Kernels on disk: killed, corrupted, full, read-only, shared, of something else. And files of `save_kernel`."""
import functools
import json
import os
import pickle
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy
import pytest
import zarr

from ntref import Kernel, batch, load_kernel, save_kernel, stax
from ntref.engine import StoredKernel, places
from ntref.engine.forms import digest, told
from ntref.engine.places import masked, place
from ntref.engine.store import opened, put, sealed

SCRIPT = """
import os, resource, sys, time
import numpy, threadpoolctl, zarr
from ntref import batch, save_kernel

calls, pause, last = [], 0, None

def kernel(x1, x2=None):
    calls.append(len(x1))
    if len(calls) == last:
        os.kill(os.getpid(), 9)
    time.sleep(pause)
    k = x1 @ (x1 if x2 is None else x2).T
    return dict(linear=k, square=k ** 2)

def call(out, n=13, size=2, blank=0):
    x = numpy.random.default_rng(1).standard_normal((n, 3))
    x[:blank] = 0
    return batch(kernel, size, 2, out=out)(x)
"""
HERE = {}
exec(SCRIPT, HERE)
CALLS, N, TILES = HERE['calls'], 13, 28
PARTIAL = f'zarr.{"0" * 32}.partial'                      # as Zarr names it


@pytest.fixture(autouse=True)
def no_calls():
    """Calls of other tests do not count."""
    CALLS.clear()


def call(out, **more):
    CALLS.clear()
    k = HERE['call'](out, **more)
    return {name: numpy.asarray(a) for name, a in k.items()}


def assert_direct(k, **more):
    before = len(CALLS)
    expected = HERE['call'](None, **more)
    del CALLS[before:]
    assert list(k) == list(expected)
    for name, a in expected.items():
        assert k[name].dtype == a.dtype and (k[name] == a).all()


def started(then, *arguments, **more):
    """A process that runs SCRIPT, then some more lines."""
    return subprocess.Popen([sys.executable, '-c', SCRIPT + then, *map(str, arguments)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)


def chunks(store):
    """The tiles that are there."""
    return set.intersection(*({(int(p.parent.name), int(p.name)) for p in (store / name / 'c').glob('*/*')
                               if p.suffix != '.partial'} for name in ('linear', 'square')))


@pytest.fixture
def store(tmp_path):
    return tmp_path / 'k.zarr'


# ------------------------------------------------------------------ a store

def test_a_store_is_the_kernel(store):
    k = call(store)
    assert_direct(k)
    assert len(CALLS) == TILES and chunks(store) == {(i, j) for i in range(7) for j in range(i, 7)}
    assert_direct(call(store))
    assert not CALLS
    loaded = load_kernel(store)
    assert list(loaded) == ['linear', 'square'] and isinstance(loaded['linear'], StoredKernel)
    assert_direct({name: numpy.asarray(a) for name, a in loaded.items()})
    assert repr(loaded['linear']) == '<StoredKernel (13, 13) float64 in tiles of 2 x 2>'


@pytest.mark.parametrize('n1, n2', [(0, None), (0, 3), (3, 0), (1, None), (1, 1), (5, 7), (4, 4)])
@pytest.mark.parametrize('get', ['ntk', ('nngp', 'ntk')])
@pytest.mark.parametrize('size', [3, 50])
def test_networks(n1, n2, get, size, store, rng):
    net = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))
    x1, x2 = rng.standard_normal((n1, 4)).astype('float32'), None if n2 is None else rng.standard_normal((n2, 4))
    x2 = None if x2 is None else x2.astype('float32')
    expected, found = batch(net.kernel_fn, size)(x1, x2, get), batch(net.kernel_fn, size, out=store)(x1, x2, get)
    assert getattr(found, '_fields', ()) == getattr(expected, '_fields', ())
    for k, e in zip(*([k] if get == 'ntk' else k for k in (found, expected))):
        assert k.dtype == e.dtype and k.shape == e.shape and (numpy.asarray(k) == e).all()
    assert type(load_kernel(store)).__name__ == type(found).__name__
    assert type(batch(net.kernel_fn, size, out=store)(x1, x2, get)).__name__ == type(found).__name__


def test_positions_are_stored_whole(store, rng):
    def kernel(x1, x2=None):
        return numpy.einsum('iah,jbh->ijab', x1, x1 if x2 is None else x2)
    x = rng.standard_normal((5, 2, 3))
    k, e = batch(kernel, 2, out=store)(x), batch(kernel, 2)(x)
    assert (numpy.asarray(k) == e).all() and len(list((store / 'kernel/c').glob('*/*/*/*'))) == 9
    for index in [(3, 1), (..., 0), (1, ..., 0), (0, 1, 1), (slice(1, 4), 2, 0), ([4, 0], slice(None)), (1, 2, 0, 1)]:
        assert (k[index] == e[index]).all() and k[index].shape == e[index].shape


def test_numbers_of_any_kind(store, rng):
    x = rng.integers(-9, 10, (5, 3))

    def kernel(x1, x2=None):
        k = x1 @ (x1 if x2 is None else x2).T
        return {'i': k, 'b': k > 0}
    k = batch(kernel, 2, out=store)(x)
    assert k['i'].dtype == x.dtype and (k['i'][:] == x @ x.T).all() and (k['b'][:] == (x @ x.T > 0)).all()
    odd = numpy.array([[numpy.nan, numpy.inf], [-0., 1e-310]])
    k = batch(lambda a, b: odd, 2, out=store.with_name('odd'))(x[:2], x[2:4])
    assert k[:].tobytes() == odd.tobytes()
    for blank in numpy.nan, 0., 0, False:                  # nothing to write is written too
        out = store.with_name(f'{blank}')
        for expected in 6, 0:
            calls = []
            batch(lambda a, b: calls.append(1) or numpy.full((len(a), len(a if b is None else b)), blank), 2,
                  out=out)(x)
            assert len(calls) == expected


def test_halves_are_stored_once(tmp_path, rng):
    x = rng.standard_normal((96, 3))
    for name, x2 in ('half', None), ('whole', x):
        batch(lambda a, b: a @ (a if b is None else b).T, 8, out=tmp_path / name)(x, x2)
    sizes = [sum(p.stat().st_size for p in (tmp_path / name).rglob('*') if p.is_file()) for name in ('half', 'whole')]
    assert .5 < sizes[0] / sizes[1] < .57


def test_indices(store, rng):
    call(store)
    k, e = load_kernel(store)['linear'], HERE['call'](None)['linear']
    mask = rng.random(N) < .5
    for index in [3, -1, slice(2, 9), slice(None, None, -3), ..., (4, 11), (11, 4), (slice(3), slice(5, None)),
                  (..., 2), [5, 1, 1], numpy.array([12, -13]), mask, (mask, 3), (slice(None, 4), mask), (2, [1, 0]),
                  (0, ...), (numpy.int64(7), numpy.array(2)), slice(4, 4), (numpy.array([], int), 2), ()]:
        assert k[index].shape == e[index].shape and (k[index] == e[index]).all()
    for index in ([0, 1], [1, 2]), None, (0, 0, 0), (..., ...), True, e > 0, 1.5, 'a', N:
        with pytest.raises(IndexError):
            k[index]
    assert len(k) == N and sum(1 for row in k) == N and numpy.asarray(k, 'float32').dtype == 'float32'
    with pytest.raises(ValueError, match='read into memory'):
        numpy.asarray(k, copy=False)


# ------------------------------------------------------------------ killed, corrupted

@pytest.mark.parametrize('seed', range(4))
def test_killed_at_any_moment(seed, store):
    moments = random.Random(seed)
    for _ in range(2):
        with started('pause = .004\nprint(1, flush=True)\ncall(sys.argv[1])', store) as child:
            child.stdout.readline()
            time.sleep(moments.uniform(0, .1))
            child.kill()
    there = chunks(store)
    k = call(store)
    assert_direct(k)
    assert len(CALLS) == TILES - len(there) and not list(store.rglob('*.partial'))
    assert len(call(store)) == 2 and not CALLS


@pytest.mark.parametrize('tiles', [1, 9, 27])
def test_only_what_is_missing_is_computed(tiles, store):
    with started(f'last = {tiles + 1}\ncall(sys.argv[1])', store) as child:
        child.wait()
    there = chunks(store)
    assert tiles - 1 <= len(there) <= tiles and child.returncode == -9          # two threads compute
    k = call(store)
    assert len(CALLS) == TILES - len(there)
    assert_direct(k)


def damaged(path, how):
    good = path.read_bytes()
    if how == 'deleted':
        return path.unlink()
    at = len(good) // 2
    path.write_bytes({'flipped': good[:at] + bytes([good[at] ^ 16]) + good[at + 1:], 'cut': good[:-3], 'empty': b'',
                      'last': good[:-1] + bytes([good[-1] ^ 1]), 'zeros': bytes(len(good))}[how])


@pytest.mark.parametrize('how', ['flipped', 'last', 'cut', 'empty', 'zeros', 'deleted'])
def test_damaged_tiles_are_computed_again(how, store):
    call(store)
    for chunk in 'linear/c/0/0', 'square/c/1/6', 'square/c/6/6', 'linear/c/1/6':
        damaged(store / chunk, how)
    k = call(store)
    assert len(CALLS) == 3
    assert_direct(k)
    damaged(store / 'linear/c/2/3', how)
    with pytest.raises(ValueError, match=r'without the tile \(2, 3\)' if how == 'deleted' else 'checksum'):
        load_kernel(store)['linear'][:]


def forget_kernels(store):
    """As it was before they were named."""
    about = json.loads((store / 'zarr.json').read_text())
    for name in 'names', 'form', 'symmetric', 'arrays':
        del about['attributes'][name]
    (store / 'zarr.json').write_text(json.dumps(about | {'attributes': sealed(about['attributes'])}))


@pytest.mark.parametrize('is_described', [False, True])
def test_killed_before_there_are_kernels(is_described, store):
    if is_described:                                       # and between the arrays
        call(store)
        forget_kernels(store)
        (store / 'square/zarr.json').write_text('{"sha')
    store.mkdir(exist_ok=True)
    for name in '.lock', PARTIAL:
        (store / name).touch()
    k = call(store)
    assert len(CALLS) == TILES and not list(store.rglob('*.partial'))
    assert_direct(k)


def test_a_store_without_kernels(store):
    zarr.create_group(store, attributes={'format': 1})
    with pytest.raises(ValueError, match='expected a store of kernels, got .* without any'):
        load_kernel(store)


def files_in(there):
    """Bytes of all files below, links as they are."""
    return {p.relative_to(there): os.readlink(p) if p.is_symlink() else p.read_bytes()
            for p in there.rglob('*') if p.is_symlink() or p.is_file()}


def read(path):
    return {name: numpy.asarray(a) for name, a in load_kernel(path).items()}


@pytest.mark.parametrize('a, b', [
    ('linear/c/0/0', 'linear/c/1/1'), ('linear/c/0/1', 'linear/c/0/2'), ('square/c/0/5', 'square/c/0/6'),
    ('linear/c/2/3', 'square/c/2/3'), ('linear/c/2/3', '../other/linear/c/2/3')])
def test_tiles_know_their_place(a, b, store):
    """Exchanged, of the other kernel, of another store."""
    call(store)
    HERE['call'](store.with_name('other'), blank=1)
    one, other = ((store / p).read_bytes() for p in (a, b))
    (store / a).write_bytes(other)
    (store / b).write_bytes(one)
    with pytest.raises(ValueError, match=f'expected {a} in .* as it was written, .* checksum differs: .* moved'):
        read(store)[a[:6]]
    k = call(store)
    assert len(CALLS) == 2 - (Path(a).name == Path(b).name)
    assert_direct(k)


def edits(value):
    """A JSON document changed in one place: each number, text and truth value, each name; and each left out."""
    if isinstance(value, dict):
        for name, part in value.items():
            rest = {other: p for other, p in value.items() if other != name}
            yield rest
            yield rest | {name + 'x': part}
            yield from (value | {name: edited} for edited in edits(part))
    elif isinstance(value, list):
        yield [*value, 1]
        yield value[::-1] if value[::-1] != value else [None, *value]
        yield from ([*value[:i], edited, *value[i + 1:]] for i, part in enumerate(value) for edited in edits(part))
    else:
        yield {bool: lambda: not value, str: lambda: value[:-1] + chr(ord(value[-1:] or 'a') ^ 1),
               type(None): lambda: 0}.get(type(value), lambda: value + 1)()


def test_each_edit_of_the_manifest_is_seen(store):
    call(store)
    good = json.loads((store / 'zarr.json').read_text())
    count = 0
    for attributes in edits(good['attributes']):
        (store / 'zarr.json').write_text(json.dumps(good | {'attributes': attributes}))
        before = files_in(store)
        with pytest.raises(ValueError, match='as it was written, got a zarr.json that is damaged|format 1 or 2, got'):
            load_kernel(store)
        with pytest.raises(ValueError, match='as it was written, got a zarr.json that is damaged|differs in format'):
            call(store)
        assert files_in(store) == before
        count += 1
    assert count > 100 and not CALLS
    (store / 'zarr.json').write_text(json.dumps(good, indent=4))
    assert_direct(call(store))


def test_what_zarr_knows_of_an_array_is_mended(store):
    """The manifest has it too: read without it, and written again."""
    call(store)
    at = store / 'square/zarr.json'
    good = json.loads(at.read_text())
    for content in '', '{"sh', '[' * 10 ** 5, None, b'\xff', *(json.dumps(edited) for edited in list(edits(good))[::4]):
        at.unlink() if content is None else at.write_bytes(content.encode() if isinstance(content, str) else content)
        if content == '' or content is None:
            assert_direct(read(store))
        call(store)
        assert json.loads(at.read_text()) == good
    assert_direct(call(store))
    assert not CALLS


@pytest.mark.parametrize('content', [b'', b'{"attributes": {"netw', b'\xff', b'[' * 10 ** 5, b'[]', b'{}', b'null',
                                     b'{"zarr_format": 3, "node_type": "array"}',
                                     b'{"zarr_format": 3, "node_type": "group", "attributes": [1]}',
                                     b'{"zarr_format": 3, "node_type": "group"}'])
def test_others_are_left_as_they_are(content, store):
    """Looked at first."""
    (store / 'ntk').mkdir(parents=True)
    for name in 'download.partial', 'ntk/download.partial', f'ntk/{PARTIAL}', PARTIAL:
        (store / name).write_text('half')
    (store / 'zarr.json').write_bytes(content)
    before = files_in(store)
    message = 'describes no Zarr group, or is damaged|differs in network .None there'
    with pytest.raises(ValueError, match=message):
        call(store)
    with pytest.raises(ValueError, match='describes no Zarr group, or is damaged|without any'):
        load_kernel(store)
    assert files_in(store) == before
    (store / 'zarr.json').unlink()
    before = files_in(store)
    with pytest.raises(OSError, match='other files there, such as download.partial'):
        call(store)
    assert files_in(store) == before and not CALLS


def test_files_of_the_user_stay_in_a_store(store):
    call(store)
    for name in 'download.partial', 'linear/notes.partial', 'linear/c/0/my.0123.partial':
        (store / name).write_text('half')
    (store / 'notes').mkdir()
    for folder in 'notes', 'linear/c/0', 'linear', '.':
        (store / folder / PARTIAL).write_text('half')
    call(store)
    assert sorted(p.name for p in store.rglob('*.partial')) == [
        'download.partial', 'my.0123.partial', 'notes.partial', PARTIAL]
    assert (store / 'notes' / PARTIAL).read_text() == 'half'


@pytest.mark.parametrize('dtype', ['f2', 'f4', '>f8', 'c8', '>c16', 'i1', '>i4', 'u8', '?'])
def test_others_read_it(dtype, store, rng):
    """Zarr itself; and the kind of number stays."""
    x = rng.integers(0, 2, (5, 3)).astype(dtype)
    for _ in range(2):                                     # and once more
        k = batch(lambda a, b: (a @ b.T).astype(dtype), 2, out=store)(x, x)
        assert k.dtype == numpy.dtype(dtype) and (k[:] == (x @ x.T).astype(dtype)).all()
    found = zarr.open_group(store, mode='r')['kernel'][:]
    assert found.dtype == k.dtype.newbyteorder('<') and (found == k[:]).all()


def former(store, symmetric):
    """A store as it was written before: format 1."""
    x = numpy.arange(15.).reshape(5, 3)
    codecs = [zarr.codecs.ZstdCodec(level=1), zarr.codecs.Crc32cCodec()]
    group = zarr.create_group(store, attributes={
        'format': 1, 'names': ['kernel', 'line'], 'form': {'form': 'dict'}, 'symmetric': symmetric})
    a = group.create_array('kernel', shape=(5, 5), chunks=(2, 2), dtype='f8', compressors=codecs)
    for i in range(3):
        for j in range(i if symmetric else 0, 3):
            a.set_block_selection((i, j), (x @ x.T)[2 * i:2 * i + 2, 2 * j:2 * j + 2])
    line = group.create_array('line', shape=(3,), dtype='f8', compressors=codecs)
    line[:] = x[0] + 1
    return x


@pytest.mark.parametrize('symmetric', [False, True])
def test_stores_of_before_are_read(symmetric, store):
    x = former(store, symmetric)
    k = load_kernel(store)
    assert (k['kernel'][:] == x @ x.T).all() and (k['line'] == x[0] + 1).all()
    before = files_in(store)
    with pytest.raises(ValueError, match=r'differs in .*format \(1 there, 2 here\)'):
        call(store)
    assert files_in(store) == before
    damaged(store / 'kernel/c/1/1', 'flipped')
    with pytest.raises(ValueError, match='checksum'):
        k['kernel'][:]
    later = zarr.create_group(store.with_name('later'), attributes={'format': 3, 'names': []})
    with pytest.raises(ValueError, match='expected format 1 or 2, got 3: .* later ntref'):
        load_kernel(later.store.root)


# ------------------------------------------------------------------ locks and links

def test_no_worker_holds_the_store(store):
    """Killed while a forked worker computes, which lives on; the store can be written at once."""
    out, into = os.pipe()
    script = ('from concurrent.futures import ProcessPoolExecutor\n'
              'from multiprocessing import get_context\n'
              'def slow(x1, x2=None):\n'
              '    if os.getpid() != main:\n'
              '        os.write(1, b"%d\\n" % os.getpid())\n'
              '        os.read(int(sys.argv[2]), 1)\n'
              '    return x1 @ (x1 if x2 is None else x2).T\n'
              'main = os.getpid()\n'
              'x = numpy.eye(5)\n'
              'with ProcessPoolExecutor(1, get_context("fork")) as executor:\n'
              '    batch(slow, 2, out=sys.argv[1], executor=executor)(x)\n')
    with started(script, store, out, pass_fds=[out]) as child:
        worker = int(child.stdout.readline())
        try:
            child.kill()
            child.wait()
            os.kill(worker, 0)                             # it is there
            with place(store).held():
                assert (store / 'kernel/zarr.json').exists()
        finally:
            os.kill(worker, 9)
            os.close(into)
            os.close(out)


def test_forks_let_go(store):
    """The child may not undo what the parent holds, nor close what is its own."""
    script = ('from ntref.engine.places import place\n'
              'here = place(sys.argv[1])\n'
              'def is_held():\n'
              '    try:\n        with here.held():\n            return False\n'
              '    except BlockingIOError:\n        return True\n'
              'class Out(Exception):\n    pass\n'
              'child = None\n'
              'try:\n'
              '    with here.held():\n'
              '        r, w = os.pipe()\n'
              '        child = os.fork()\n'
              '        if child == 0:\n'
              '            own = [os.open(os.devnull, os.O_RDONLY) for _ in range(4)]\n'
              '            raise Out\n'
              '        ended = os.waitpid(child, 0)[1]\n'
              '        print(ended, is_held())\n'
              'except Out:\n'
              '    os._exit(0 if is_held() and all(map(os.fstat, own)) else 1)\n'
              'print(is_held())\n')
    with started(script, store) as child:
        out, err = child.communicate()
    assert out.split() == ['0', 'True', 'False'], err


def test_links_are_not_followed(store, tmp_path, monkeypatch):
    """Of a lock, and of what is written aside, even if its name were known."""
    target = tmp_path / 'thesis.tex'
    target.write_text('all of it')
    store.mkdir()
    (store / '.lock').symlink_to(target)
    with pytest.raises(OSError, match='expected to write into the store .*got: other files there, such as .lock'):
        call(store)
    (store / '.lock').unlink()
    call(store)
    (store / '.lock').unlink()
    (store / '.lock').symlink_to(target)
    with pytest.raises(OSError, match='a symbolic link at .*.lock, which is not followed'):
        call(store)
    (store / '.lock').unlink()
    (store / PARTIAL).symlink_to(target)
    call(store)
    assert (store / PARTIAL).is_symlink()
    (tmp_path / '.k.npz.partial').symlink_to(target)
    save_kernel(tmp_path / 'k.npz', numpy.eye(2))
    known = uuid.uuid4()
    monkeypatch.setattr(places, 'uuid4', lambda: known)
    for ending in 'npz', 'zarr':
        (tmp_path / f'.new.{ending}.{known.hex}.partial').symlink_to(target)
        with pytest.raises(FileExistsError):
            save_kernel(tmp_path / f'new.{ending}', numpy.eye(2))
        assert (tmp_path / f'.new.{ending}.{known.hex}.partial').is_symlink()
        assert not (tmp_path / f'new.{ending}').exists()
    assert target.read_text() == 'all of it'


@pytest.mark.parametrize('is_whole', [False, True])
@pytest.mark.parametrize('folder', ['linear', 'linear/c', 'linear/c/0'])
def test_folders_of_others_are_not_written_into(folder, is_whole, store, tmp_path):
    """A link in the place of an array, with kernels there and without; also of a folder of its tiles."""
    call(store)
    if not is_whole:
        forget_kernels(store)
    shutil.rmtree(store / folder)
    target = tmp_path / 'thesis'
    target.mkdir()
    (target / PARTIAL).write_text('half')
    (store / folder).symlink_to(target)
    if is_whole or folder == 'linear':
        with pytest.raises(OSError, match=f'expected to write into .*a symbolic link at .*{folder}, which is not foll'):
            call(store)
    else:                                                  # an array that was not finished is made anew
        assert_direct(call(store))
    assert [p.name for p in target.iterdir()] == [PARTIAL]


def test_the_lock_is_not_emptied(store):
    call(store)
    (store / '.lock').write_text('notes')
    call(store)
    assert (store / '.lock').read_text() == 'notes'


def test_many_writers_of_one_file(tmp_path):
    """Whole for each reader, at any time; of one who may not replace, the first."""
    path, ended = tmp_path / 'k.npz', []
    save_kernel(path, numpy.zeros((50, 50)))

    def write(number):
        for i in range(15):
            save_kernel(path, numpy.full((50, 50), 100. * number + i))
        ended.append(number)

    def look():
        seen = set()
        while len(ended) < 3:
            k = load_kernel(path)
            assert k.shape == (50, 50) and (k == k[0, 0]).all()
            seen.add(k[0, 0])
        return seen

    def begin(number):
        try:
            save_kernel(tmp_path / 'k.zarr', numpy.full((50, 50), float(number)))
            return number
        except FileExistsError:
            return None
    with ThreadPoolExecutor(4) as pool:
        look = pool.submit(look)
        for future in [pool.submit(write, number) for number in range(3)]:
            future.result()
        assert look.result()
        first = [number for number in pool.map(begin, range(4)) if number is not None]
    assert len(first) == 1 and (load_kernel(tmp_path / 'k.zarr')[:] == first[0]).all()
    assert sorted(os.listdir(tmp_path)) == ['k.npz', 'k.zarr']


def test_a_worker_of_a_store_that_was_deleted(store):
    """It may not write into the next one."""
    with opened(store, {'batch_size': 2, 'x1': 1}) as old:
        old.create((4, 4), {'form': 'array'}, {'kernel': numpy.eye(2)}, False)
        put(old.path, (0, 1), {'kernel': numpy.eye(2)})
        assert old.has((0, 1)) and not old.has((1, 1))
        shutil.rmtree(store)
        with pytest.raises(ValueError, match='expected the store .* got None. It was deleted'):
            put(old.path, (0, 1), {'kernel': numpy.eye(2)})
    with opened(store, {'batch_size': 2, 'x1': 2}) as new:
        new.create((4, 4), {'form': 'array'}, {'kernel': numpy.eye(2)}, False)
        with pytest.raises(ValueError, match='expected the store .* got another. It was deleted'):
            put(old.path, (0, 1), {'kernel': numpy.eye(2)})
        assert not new.has((0, 1))


def test_without_fcntl(store):
    """As on Windows: stores are written, by one at a time."""
    without = 'import sys\nsys.modules["fcntl"] = None\n'
    script = (without + 'from ntref.engine.places import place\n'
              'call(sys.argv[1])\n'
              'with place(sys.argv[1]).held():\n'
              '    try:\n        call(sys.argv[1])\n'
              '    except BlockingIOError as e:\n        print(e)\n'
              'call(sys.argv[1])\nprint(len(calls))\n')
    with started(script, store) as child:
        out, err = child.communicate()
    said, number = out.splitlines()
    assert said.startswith('expected a store that nobody writes into, got ') and number == str(TILES), err
    assert_direct(load_kernel(store))


# ------------------------------------------------------------------ shared, of something else

def test_two_processes(store):
    with started('pause = .3\nprint(1, flush=True)\ncall(sys.argv[1])', store) as child:
        child.stdout.readline()
        while not (store / 'linear/c').exists():
            time.sleep(.01)
        with pytest.raises(BlockingIOError, match='nobody writes into, got .*k.zarr, which another process has open'):
            call(store)
        assert not CALLS and child.poll() is None
        child.kill()
    assert_direct(call(store))


def test_two_threads(store):
    def kernel(x1, x2=None):
        return batch(kernel, out=store)(x1)
    with pytest.raises(BlockingIOError, match='expected a store that nobody writes into'):
        batch(kernel, out=store)(numpy.eye(3))


def test_something_else(store, rng):
    def net(w, activation=stax.Relu()):
        return stax.serial(stax.Dense(8, 1.5), activation, stax.Dense(1, w)).kernel_fn
    x = rng.standard_normal((5, 3))
    k = batch(net(1.25), 2, out=store)(x, None, 'ntk')
    y = x.copy()
    y[0, 0] += 1e-15
    for key, change in {'x1': lambda: batch(net(1.25), 2, out=store)(y, None, 'ntk'),
                        'x1 ': lambda: batch(net(1.25), 2, out=store)(x.astype('float32'), None, 'ntk'),
                        'x2': lambda: batch(net(1.25), 2, out=store)(x, x, 'ntk'),
                        'network': lambda: batch(net(1.26), 2, out=store)(x, None, 'ntk'),
                        'network ': lambda: batch(net(1.25, stax.Erf()), 2, out=store)(x, None, 'ntk'),
                        'arguments': lambda: batch(net(1.25), 2, out=store)(x, None, 'nngp'),
                        'batch_size': lambda: batch(net(1.25), 3, out=store)(x, None, 'ntk')}.items():
        with pytest.raises(ValueError, match=rf'differs in {key.strip()} \([^)]* there, .* here\)\. Take') as e:
            change()
        assert not re.search('[0-9a-f]{42}', str(e.value)) and len(str(e.value)) < 300 + len(str(store))
    with pytest.raises(ValueError, match='x1 .*, x2 .*, batch_size'):
        batch(net(1.25), 3, out=store)(y, y, 'ntk')
    assert (numpy.asarray(k) == batch(net(1.25), 2)(x, None, 'ntk')).all()


def test_other_files(store):
    store.mkdir()
    (store / 'thesis.tex').touch()
    with pytest.raises(OSError, match='other files there, such as thesis.tex'):
        call(store)
    assert os.listdir(store) == ['thesis.tex'] and not CALLS
    with pytest.raises(OSError, match='expected to write into the store .*thesis.tex'):
        call(store / 'thesis.tex')
    zarr.create_group(store.with_name('other'))
    with pytest.raises(ValueError, match=r'differs in network \(None there'):
        call(store.with_name('other'))


class Model:
    def __init__(self, w):
        self.w = w

    def __call__(self, x1, x2=None):
        return self.w * x1

    def kernel_fn(self, x1, x2=None):
        return self.w * x1


def scaled(w):
    return lambda x1, x2=None: w * x1


def test_who_an_array_is():
    arrays = [numpy.zeros(s, d) for s in [(2, 3), (3, 2), (6,), (0, 3), (3, 0)] for d in ('f4', 'f8', 'i8', '>f8')]
    assert len({digest(a) for a in arrays}) == len(arrays) and digest(None) is None
    assert digest(arrays[0].T.copy().T) == digest(arrays[0]) and digest([arrays[0], None]) == [digest(arrays[0]), None]


def test_who_a_function_is():
    elementwise = [stax.serial(stax.Dense(1), stax.Elementwise(fn=fn)).kernel_fn for fn in (numpy.tanh, numpy.sin)]
    different = [scaled(1.), scaled(2.), scaled(numpy.eye(2)), scaled(2 * numpy.eye(2)), Model(1), Model(2),
                 Model(1).kernel_fn, Model(2).kernel_fn, lambda x, y=None: x, lambda x, y=1: x, lambda x, y=None: -x,
                 functools.partial(scaled, 1), functools.partial(scaled, w=1), *elementwise,
                 lambda x: [y for y in x if y], lambda x: [y for y in x if not y], scaled(scaled(1)), scaled(scaled(2)),
                 stax.Dense(2).kernel_fn, stax.Dense(3).kernel_fn, stax.Dense, len]
    assert len({told(f) for f in different}) == len(different)
    assert told(scaled(1.)) == told(scaled(1.)) and told(Model(1)) == told(Model(1))
    assert ' at 0x' not in told([object(), numpy.random.default_rng(1), Model(None)])
    circle = Model(None)
    circle.w = [circle, scaled(circle)]
    assert told(circle) == told(circle) and '...' in told(circle)
    code = 'def f(x):\n    return x in {"a", "b", "c", "d", "e"}\nfrom ntref.engine.forms import told\nprint(told(f))'
    assert len({subprocess.run([sys.executable, '-c', code], env=os.environ | {'PYTHONHASHSEED': str(seed)}, text=True,
                               capture_output=True, check=True).stdout for seed in (1, 2)}) == 1


def test_networks_with_functions_of_one_name_are_two(store):
    """Their texts are the same, what they compute is not; what a used network remembers does not count."""
    once, twice = (stax.serial(stax.Dense(8), stax.ElementwiseNumerical(f, 5), stax.Dense(1)).kernel_fn
                   for f in (lambda z: z, lambda z: 2 * z))
    assert repr(once) == repr(twice)
    batch(once, 2, out=store)(numpy.eye(3), None, 'nngp')
    with pytest.raises(ValueError, match='differs in network'):
        batch(twice, 2, out=store)(numpy.eye(3), None, 'nngp')
    assert numpy.array_equal(batch(once, 2, out=store)(numpy.eye(3), None, 'nngp'), once(numpy.eye(3), None, 'nngp'))


# ------------------------------------------------------------------ read-only, full

def test_read_only():
    with tempfile.TemporaryDirectory() as there:
        store = Path(there) / 'k.zarr'
        call(store)
        (store / 'linear/c/1/2').unlink()
        os.chmod(there, 0o755)
        for path in store, *(p for p in store.rglob('*') if p.is_dir()):
            os.chmod(path, 0o555)
        # the administrator may write everywhere; another user may not be able to import what is not yet
        with started('import filelock\nif os.getuid() == 0:\n    os.setuid(65534)\n'
                     'for path in sys.argv[1:]:\n    try:\n        call(path)\n    except PermissionError as e:\n'
                     '        print(len(calls), e)', store, store / 'new') as child:
            out, err = child.communicate()
        for path in store, *(p for p in store.rglob('*') if p.is_dir()):
            os.chmod(path, 0o755)
        assert len(out.splitlines()) == 2 and out.count('expected to write into the store') == 2, err
        assert all(line.startswith('0 [Errno 13]') for line in out.splitlines())
        assert_direct(call(store))
        assert len(CALLS) == 1


def test_a_full_disk(store):
    with started('resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\ntry:\n    call(sys.argv[1], 200, 40, 90)\n'
                 'except OSError as e:\n    print(e)', store) as child:
        out, err = child.communicate()
    assert 'expected to write into the store' in out and 'File too large' in out, err
    there = chunks(store)
    assert 2 <= len(there) < 15 and not list(store.rglob('*.partial'))
    k = call(store, n=200, size=40, blank=90)
    assert len(CALLS) == 15 - len(there)
    assert_direct(k, n=200, size=40, blank=90)


@pytest.mark.parametrize('writes', range(8))
def test_every_write_may_fail(writes, store, monkeypatch):
    """The group, its arrays, what they are, the first tile, the next."""
    done, replace = [], os.replace

    def fails(*given, **more):
        if len(done) == writes:
            raise OSError(28, 'No space left on device')
        done.append(1)
        return replace(*given, **more)
    with monkeypatch.context() as patched:
        patched.setattr(os, 'replace', fails)
        with pytest.raises(OSError, match=r'Errno 28\] expected to write into the store .*k.zarr, got: No space left'):
            call(store)
    end = time.monotonic() + 300
    while list(store.rglob('*.partial')) and time.monotonic() < end:         # zarr's threads still write, or give up
        threading.Event().wait(.01)
    there = chunks(store)
    assert bool(there) == (writes > 5) and not list(store.rglob('*.partial'))
    k = call(store)
    assert len(CALLS) == TILES - len(there)
    assert_direct(k)


def test_interrupted(store, monkeypatch):
    def stop(seconds):
        if len(CALLS) == 9:
            raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(time, 'sleep', stop)
        with pytest.raises(KeyboardInterrupt):
            call(store)
    k = call(store)
    assert TILES - 10 <= len(CALLS) <= TILES - 7
    assert_direct(k)


def test_without_zarr(store, monkeypatch):
    monkeypatch.setitem(sys.modules, 'zarr', None)
    for f in (lambda: call(store), lambda: save_kernel(store, numpy.eye(2)), lambda: load_kernel(store.parent)):
        with pytest.raises(ImportError, match=r'expected zarr .*, got none.*checkout.*pip install .\.\[dask\]'):
            f()
    assert not store.exists() and not CALLS


# ------------------------------------------------------------------ files

Pair = namedtuple('Pair', 'a b')
KERNELS = {'array': numpy.arange(6.).reshape(2, 3), 'float32': numpy.full((2, 2), .1, 'float32'),
           'not finite': numpy.array([[numpy.nan, numpy.inf], [-numpy.inf, -0.]]), 'empty': numpy.empty((0, 3)),
           'zeros': numpy.zeros((3, 3)), 'tuple': Pair(numpy.eye(2), numpy.ones((2, 2, 1))), 'line': numpy.arange(3),
           'dict': {'b': numpy.eye(3, dtype=bool), 'a': numpy.ones((1, 4), complex)}, 'number': numpy.array(2.)}


@pytest.mark.parametrize('ending', ['npz', 'zarr'])
@pytest.mark.parametrize('name', KERNELS)
def test_round_trips(name, ending, tmp_path):
    save_kernel(str(tmp_path / f'k.{ending}'), KERNELS[name], about={'note': 1})
    k, e = load_kernel(str(tmp_path / f'k.{ending}')), KERNELS[name]
    assert os.listdir(tmp_path) == [f'k.{ending}']
    if name in ('tuple', 'dict'):
        assert type(k).__name__ == type(e).__name__
        k, e = (v if name == 'dict' else v._asdict() for v in (k, e))
        assert list(k) == list(e)
    for a, b in zip(*(v.values() if isinstance(v, dict) else [v] for v in (k, e))):
        a = numpy.asarray(a)
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize('ending', ['npz', 'zarr'])
@pytest.mark.parametrize('x2', [None, numpy.ones((1, 4, 3))])
def test_kernels_go_on(ending, x2, tmp_path, rng):
    net, then = stax.serial(stax.Conv(4, (2,)), stax.Relu()), stax.serial(stax.Flatten(), stax.Dense(1))
    k = net.kernel_fn(rng.standard_normal((2, 4, 3)), x2, diagonal_spatial=False)
    save_kernel(tmp_path / f'k.{ending}', k)
    loaded = load_kernel(tmp_path / f'k.{ending}')
    assert type(loaded) is Kernel
    for name, a in k.asdict().items():
        b = getattr(loaded, name)
        assert type(a) is type(b) and (a == b if not hasattr(a, 'shape') else (a == b).all())
    assert (then.kernel_fn(loaded, get='ntk') == then.kernel_fn(k, get='ntk')).all()


def test_what_is_saved_once_more(store, tmp_path, rng):
    call(store)
    for path in tmp_path / 'k.npz', tmp_path / 'again.zarr':
        save_kernel(path, load_kernel(store))
        assert_direct({name: numpy.asarray(a) for name, a in load_kernel(path).items()})
    save_kernel(tmp_path / 'k.npz', numpy.eye(2))
    assert (load_kernel(tmp_path / 'k.npz') == numpy.eye(2)).all()


def test_what_cannot_be_saved(tmp_path, monkeypatch):
    eye = numpy.eye(2)
    for path, kernel, error, message in [
            ('k.npy', eye, ValueError, r'ends in .npz or .zarr, got .*k.npy'), ('k.npz', [[1.]], TypeError, 'got list'),
            ('k.npz', [], TypeError, 'got list'), ('k.npz', {}, TypeError, 'got dict'),
            ('k.npz', eye.astype(object), TypeError, 'of Python objects'),
            ('k.npz', {'file': eye}, ValueError, "got 'file'"), ('k.zarr', {'a/b': eye}, ValueError, "got 'a/b'"),
            ('k.npz', {1: eye}, ValueError, 'got 1')]:
        with pytest.raises(error, match=message):
            save_kernel(tmp_path / path, kernel)
    with pytest.raises(TypeError, match='JSON'):
        save_kernel(tmp_path / 'k.npz', eye, about=eye)
    assert os.listdir(tmp_path) == []
    save_kernel(tmp_path / 'k.zarr', eye)
    with pytest.raises(FileExistsError, match='expected a path where nothing is, got .*k.zarr'):
        save_kernel(tmp_path / 'k.zarr', eye)

    def half(f, **arrays):
        f.write(b'PK')
        raise OSError('no room')
    save_kernel(tmp_path / 'k.npz', eye)
    monkeypatch.setattr(numpy, 'savez', half)
    with pytest.raises(OSError, match='no room'):
        save_kernel(tmp_path / 'k.npz', 2 * eye)
    assert sorted(os.listdir(tmp_path)) == ['k.npz', 'k.zarr'] and (load_kernel(tmp_path / 'k.npz') == eye).all()


@pytest.mark.parametrize('seed', range(3))
def test_killed_while_saving(seed, tmp_path):
    path = tmp_path / 'k.npz'
    save_kernel(path, numpy.zeros((600, 600)))
    with started('print(1, flush=True)\ni = 0\nwhile True:\n    i += 1\n'
                 '    save_kernel(sys.argv[1], numpy.full((600, 600), float(i)))', path) as child:
        child.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, .1))
        child.kill()
    k = load_kernel(path)
    assert (k == k[0, 0]).all() and k.shape == (600, 600)
    save_kernel(path, numpy.eye(2))
    rest = [name for name in os.listdir(tmp_path) if name != 'k.npz']       # of the one that was killed
    assert len(rest) <= 1 and all(re.fullmatch(r'\.k\.npz\.[0-9a-f]{32}\.partial', name) for name in rest)
    assert load_kernel(path).shape == (2, 2)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(tmp_path):
    trap, about = tmp_path / 'sprung', {'form': {'form': 'array'}, 'names': ['kernel']}
    objects = numpy.empty(1, object)
    objects[0] = Trap(trap)
    numpy.savez(tmp_path / 'a.npz', manifest=numpy.array(json.dumps(about)), kernel=objects)
    numpy.savez(tmp_path / 'b.npz', manifest=objects, kernel=numpy.eye(2))
    numpy.save(tmp_path / 'c.npy', objects)
    (tmp_path / 'd.npz').write_bytes(pickle.dumps(Trap(trap)))
    for path in sorted(tmp_path.glob('?.np?')):
        with pytest.raises(ValueError, match=f'expected a file of save_kernel, .*{path.name}') as raised:
            load_kernel(path)
        assert 'allow_pickle' not in str(raised.value)     # NumPy's advice is to load it all the same
    assert not trap.exists() and len(list(tmp_path.glob('?.np?'))) == 4
    numpy.load(tmp_path / 'a.npz', allow_pickle=True)['kernel']
    assert trap.exists()                                   # it would have


def test_files_that_are_something_else(tmp_path):
    numpy.save(tmp_path / 'a.npz', numpy.eye(2))
    shutil.move(tmp_path / 'a.npz.npy', tmp_path / 'a.npz')
    numpy.savez(tmp_path / 'b.npz', kernel=numpy.eye(2))
    save_kernel(tmp_path / 'c.npz', numpy.eye(20))
    damaged(tmp_path / 'c.npz', 'flipped')
    save_kernel(tmp_path / 'd.npz', numpy.eye(20))
    damaged(tmp_path / 'd.npz', 'cut')
    (tmp_path / 'e.npz').write_text('')
    for name in 'abcde':
        with pytest.raises(ValueError, match=f'expected a file of save_kernel, with all its digits, got .*{name}.npz'):
            load_kernel(tmp_path / f'{name}.npz')
    with pytest.raises(FileNotFoundError):
        load_kernel(tmp_path / 'none.npz')


# ------------------------------------------------------------------ object stores

def test_an_object_store(rng):
    """Written, gone on with and read under a URL."""
    fsspec, url = pytest.importorskip('fsspec'), 'memory://ntref-tests/k.zarr'
    files, x = fsspec.filesystem('memory'), rng.standard_normal((11, 3))
    net = stax.serial(stax.Dense(4), stax.Relu(), stax.Dense(1))
    expected = batch(net.kernel_fn, 3)(x, None, 'ntk')
    try:
        assert (numpy.asarray(batch(net.kernel_fn, 3, out=url)(x, None, 'ntk')) == expected).all()
        files.rm('/ntref-tests/k.zarr/kernel/c/1/2')
        with pytest.raises(ValueError, match='expected a whole kernel, got memory://.* without the tile .1, 2.'):
            load_kernel(url)[:]
        with pytest.raises(ValueError, match='differs in x1'):
            batch(net.kernel_fn, 3, out=url)(x + 1, None, 'ntk')
        k = batch(net.kernel_fn, 3, out=url)(x, None, 'ntk')
        assert (numpy.asarray(k) == expected).all() and (load_kernel(url)[1:3] == expected[1:3]).all()
    finally:
        files.rm('/ntref-tests', recursive=True)
    with pytest.raises(ValueError, match='expected a path on this machine .* got s3://bucket/k.npz'):
        save_kernel('s3://bucket/k.npz', x)


# ------------------------------------------------------------------ paths

@pytest.mark.parametrize('path', ['', ' ', b'k', 3, True])
@pytest.mark.parametrize('f', [call, load_kernel, lambda path: save_kernel(path, numpy.eye(2))])
def test_what_is_no_path(path, f, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError), match='expected .* to be (a|the) path.*, got '):
        f(path)
    assert os.listdir(tmp_path) == [] and not CALLS


@pytest.mark.parametrize('of', ['file://{}', 'file://localhost{}', 'FILE://{}'])
def test_urls_of_files(of, tmp_path):
    """The same as plain paths."""
    there = tmp_path / 'a b'
    there.mkdir()
    url = of.format(str(there).replace(' ', '%20'))
    assert_direct(call(f'{url}/k.zarr'))
    assert_direct(call(there / 'k.zarr'))
    assert not CALLS
    assert_direct(read(f'{url}/k.zarr'))
    for ending in 'npz', 'zarr':
        save_kernel(f'{url}/new.{ending}', numpy.eye(2))
        assert (load_kernel(f'{url}/new.{ending}')[:] == numpy.eye(2)).all()
    assert sorted(os.listdir(there)) == ['k.zarr', 'new.npz', 'new.zarr']
    for url in 'file://elsewhere/k.zarr', 'file://':
        with pytest.raises(ValueError, match='expected file:///PATH, .* A plain path will do'):
            call(url)


@pytest.mark.parametrize('url, shown', [
    ('s3://me:geheim@host/k.zarr', 's3://me:***@host/k.zarr'), ('ftp://:geheim@host', 'ftp://:***@host'),
    ('s3://me:ge@heim@host/k', 's3://me:***@host/k'), ('a::ftp://me:geheim@h/b::c', 'a::ftp://me:***@h/b::c'),
    ('abfs://container@account/k', 'abfs://container@account/k'), ('s3://bucket/a:b@c', 's3://bucket/a:b@c'),
    *((f'https://host/k?a=1&{name}=geheim&b=2', f'https://host/k?a=1&{name}=***&b=2') for name in (
        'token', 'X-Amz-Signature', 'X-Amz-Credential', 'X-Amz-Security-Token', 'sig', 'AccessKeyId', 'client_secret',
        'password', 'KEY')), ('https://host/k#access_token=geheim', 'https://host/k#access_token=***')])
def test_passwords_are_not_shown(url, shown):
    assert masked(f'got {url} there') == f'got {shown} there'


@pytest.mark.parametrize('url', ['memory://me:geheim@host/k.zarr', 'memory://host/k.zarr?token=geheim'])
def test_no_message_has_a_password(url, monkeypatch):
    """Of stores that differ, are damaged, lack a tile or are not there; of what fsspec says; and of workers."""
    memory = pytest.importorskip('fsspec').filesystem('memory')

    def told(f, *given):
        with pytest.raises(Exception) as e:
            f(*given)
        text = ''.join(traceback.format_exception(e.value))
        assert 'geheim' not in text and '***' in str(e.value)
        return str(e.value)
    try:
        told(load_kernel, url)
        told(save_kernel, url, numpy.eye(2))
        k = batch(lambda a, b: a @ b.T, 2, out=url)(numpy.eye(4), numpy.eye(4))
        told(batch(lambda a, b: a @ b.T, 2, out=url), numpy.eye(4), numpy.eye(3))
        chunk, manifest = (next(path for path in memory.store if path.endswith(end)) for end in ('c/0/1', 'r/zarr.json'
                           if 'token' not in url else 'geheim/zarr.json'))
        memory.rm(chunk)
        assert 'without the tile' in told(numpy.asarray, k)
        memory.pipe_file(chunk, b'12')
        assert 'checksum' in told(numpy.asarray, k)
        with opened(url.replace('k.zarr', 'new'), {'batch_size': 2}) as new:
            assert 'geheim' not in repr(new.path) and '***' in repr(new.path)

        def refused(self, path, *more):
            raise PermissionError(13, f'not allowed: {url}')
        monkeypatch.setattr(type(memory), 'pipe_file', refused)
        assert 'Errno 13' in told(batch(lambda a, b: a @ b.T, 2, out=url), numpy.eye(4), numpy.eye(4))
        monkeypatch.setattr(type(memory), 'cat_file', refused)
        assert 'not allowed' in told(numpy.asarray, k)
        monkeypatch.undo()
        memory.pipe_file(manifest, b'{')
        assert 'damaged' in told(load_kernel, url)
    finally:
        memory.store.clear()


def test_others_in_an_object_store(monkeypatch):
    fsspec = pytest.importorskip('fsspec')
    files = fsspec.filesystem('memory')
    files.pipe_file('/ntref-tests/others/linear/c/0', b'1')
    try:
        with pytest.raises(OSError, match='other files there, such as linear'):
            call('memory://ntref-tests/others')
        assert files.find('/ntref-tests') == ['/ntref-tests/others/linear/c/0'] and not CALLS
    finally:
        files.rm('/ntref-tests', recursive=True)
