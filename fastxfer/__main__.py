"""``python -m fastxfer`` is the ``fastxfer`` command."""

from fastxfer.cli import main

if __name__ == "__main__":
    main()
