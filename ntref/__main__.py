"""Entry point of `python -m ntref`, which is the command `ntref`."""
import sys

from .cli import main

sys.exit(main())
