"""``python -m eqnets`` is the ``eqnets`` command."""

import sys

from eqnets.cli import main

if __name__ == "__main__":
    sys.exit(main())
