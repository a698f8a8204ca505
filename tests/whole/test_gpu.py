"""The GPU of this machine, if CuPy finds one: all checks of `ntref gpu-check`."""
import pytest

from ntref.oracle import device_report, on_device


@pytest.mark.gpu
def test_this_gpu():
    if on_device.device_name() is None:
        pytest.skip('CuPy finds no device')
    checks = list(on_device.checks())
    assert len(checks) > 500
    assert not [device_report.line(check) for check in checks if check.has_failed]
