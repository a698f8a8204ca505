"""The command `ntref` and README.md."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ntref import demo
from ntref.cli import main

ROOT = Path(__file__).parent.parent


def test_the_demo_meets_its_numbers_and_draws(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, 'NETWORKS', 6)
    monkeypatch.setattr(demo, 'WIDTH', 128)
    monkeypatch.setattr(demo, 'STEPS', 30)
    figure = tmp_path / 'figure.png'
    assert main(['demo', '--figure', str(figure)]) == 0
    said = capsys.readouterr().out
    nngp, ntk = map(float, re.search(r'NNGP (0\.\d+)   NTK (0\.\d+)', said).groups())
    assert nngp >= .985 and ntk >= .985
    along = [float(a) for a in re.search(r'time t .*\n   test accuracy (.*)', said)[1].split()]
    assert along[0] < along[-1] and abs(along[-1] - ntk) <= .005
    within = [int(p) for p in re.search(r'within it (.*)', said)[1].replace('%', '').split()]
    assert within == sorted(within) and 90 <= within[-1] <= 100
    difference, chance = map(float, re.search(r'RMS (0\.\d+)   \(by chance (0\.\d+)\)', said).groups())
    assert difference < 3 * chance
    assert figure.read_bytes().startswith(b'\x89PNG') and str(figure) in said


@pytest.mark.parametrize('module', ['sklearn.datasets', 'matplotlib.figure', 'tqdm', 'threadpoolctl'])
def test_the_demo_says_what_to_install(module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)          # its import raises ImportError
    assert main(['demo']) == 1
    said = capsys.readouterr().err
    assert module.partition('.')[0] in said and 'pip install "ntref[demo]"' in said


def test_bad_arguments(capsys):
    assert main(['demo', '--train', '5']) == 1
    assert 'expected between 20 and 1777 images to train on, got --train 5' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(['dance'])


def test_the_command_is_installed():
    said = subprocess.run([sys.executable, '-m', 'ntref', 'demo', '--help'], capture_output=True, text=True, cwd=ROOT)
    assert said.returncode == 0 and 'handwritten digits' in said.stdout


def test_readme_is_short_and_its_commands_are_single_lines():
    lines = (ROOT / 'README.md').read_text().splitlines()
    assert len(lines) <= 150
    blocks = re.findall(r'```sh\n(.*?)```', '\n'.join(lines), re.S)
    assert [block.count('\n') for block in blocks] == [1, 1]
    for block, ends in zip(blocks, ('/ntref demo', '/pytest -n auto')):
        assert block.startswith('python -m venv') and block.strip().endswith(ends)


def test_what_readme_points_to_exists():
    text = (ROOT / 'README.md').read_text()
    paths = re.findall(r'\]\(([^)#]+)', text) + re.findall(r'`((?:ntref|tests|docs|validation)/[^`]*)`', text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
