"""The compiled modules, built from ``_ext/`` at the top of the tree. Import them through :mod:`fastxfer.core`."""
