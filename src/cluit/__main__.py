"""``python -m cluit`` is the command ``cluit``."""

from cluit.apps.cli import main

if __name__ == "__main__":
    main()
