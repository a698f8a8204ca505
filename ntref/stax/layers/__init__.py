"""The layers, a topic a module; users find them in `ntref.stax`. What makes networks of them is one room up."""

__all__: list[str] = []
