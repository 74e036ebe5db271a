"""``python -m eqnets`` is the ``eqnets`` command."""

from eqnets.cli import main

if __name__ == "__main__":
    main()
