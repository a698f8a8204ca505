"""Memory that is not there is missed before anything is computed."""
import numpy
import pytest

from ntref import stax
from ntref.engine import memory

NET = stax.serial(stax.Dense(8), stax.Relu(), stax.Dense(1))


@pytest.mark.parametrize('limit, used, expected', [
    ('max', '5', 3 * 1024), ('2048', '1000', 1148), ('99999', '5', 3 * 1024), (None, None, 3 * 1024)])
def test_available(limit, used, expected, monkeypatch, tmp_path):
    (tmp_path / 'meminfo').write_text('MemTotal: 4 kB\nMemAvailable: 3 kB\n')
    for name, text in ('max', limit), ('current', used):
        if text is not None:
            (tmp_path / f'memory.{name}').write_text(text + '\n')
    (tmp_path / 'memory.stat').write_text('anon 700\ninactive_file 100\n')
    monkeypatch.setattr(memory, 'Path', lambda path: tmp_path / 'meminfo' if path == '/proc/meminfo' else tmp_path)
    assert memory.available() == expected


def test_other_systems_do_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, 'Path', lambda path: tmp_path / 'nothing')
    assert memory.available() is None
    memory.check_memory(2 ** 80, 'kernels')


@pytest.mark.parametrize('free, fits', [(2 * 8 * 600 ** 2, True), (2 * 8 * 600 ** 2 - 1, False)])
def test_kernels_must_fit(free, fits, rng, monkeypatch):
    x = rng.standard_normal((600, 3))
    monkeypatch.setattr(memory, 'available', lambda: free)
    if fits:
        assert numpy.isfinite(NET.kernel_fn(x, None, ('nngp', 'ntk')).ntk).all()
    else:
        with pytest.raises(MemoryError, match=r'nngp and ntk of shape \(600, 600\), which take 0.00536 GiB. ntref.b'):
            NET.kernel_fn(x, None, ('nngp', 'ntk'))
