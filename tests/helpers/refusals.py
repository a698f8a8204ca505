"""What a call says that refuses its arguments."""
import pytest

from ntref.stax import LayerError


def refusal(error, call, *arguments, **keywords):
    """The message of the error that the call raises: of this class, or a ValueError that says which layer."""
    with pytest.raises(error) as caught:
        call(*arguments, **keywords)
    assert caught.type in (error, LayerError), f'{caught.type.__name__}: {caught.value}'
    return str(caught.value)


def no_input_kernel(*arguments):
    raise AssertionError('computed something')
