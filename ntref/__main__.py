"""`python -m ntref` is the command `ntref`."""
import sys

from .cli import main

sys.exit(main())
