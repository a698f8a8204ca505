"""The command `ntref gpu-check`."""
import sys
from typing import Any

from .flags import add_command, new_file

__all__ = ['add']


def add(commands: Any) -> None:
    """Add the command."""
    check = add_command(
        commands, 'gpu-check', 'check the GPU of this machine, by CuPy, against certified numbers', _run,
        ['gpu-check', "gpu-check --select 'dense/*' --no-times", 'gpu-check --report my-gpu'],
        'gpu.md#checking-your-gpu',
        'Exit status: 0 nothing failed, 1 something did, 2 there is no device, or no check ran.')
    check.add_argument('--select', default='*', metavar='GLOB', help="cases of the suite by name, as 'dense/*' (all)")
    check.add_argument('--no-times', action='store_true', help='check numbers and memory only')
    check.add_argument('--report', type=_name, default='ntref-gpu-check', metavar='NAME',
                       help='write NAME.html and NAME.json, to attach to an issue (%(default)s)')


def _name(text):
    """Return the name of two files that can be written."""
    for ending in 'html', 'json':
        new_file(f'{text}.{ending}')
    return text


def _run(args):
    from ..oracle import device_report, on_device
    name = on_device.device_name()
    if name is None:
        print('ntref gpu-check: 0 checks ran, since CuPy finds no device here. It takes an NVIDIA GPU, its driver and '
              "pip install '.[cupy12]' in a checkout (or cupy13, for CUDA 13). docs/gpu.md says which were checked.",
              file=sys.stderr)
        return 2
    print(name)
    done = []
    for check in on_device.checks(args.select):
        done.append(check)
        if check.has_failed:
            print(device_report.line(check), flush=True)
    rows = [] if args.no_times else list(on_device.times())
    report = device_report.Report(name, tuple(done), tuple(rows))
    print(device_report.as_text(report))
    for ending, text in ('html', device_report.as_html(report)), ('json', device_report.as_json(report)):
        with open(f'{args.report}.{ending}', 'w', encoding='utf-8') as page:
            page.write(text)
    print(f'{args.report}.html and .json have it all.')
    if not done:
        return 2
    return int(any(check.has_failed for check in done))
