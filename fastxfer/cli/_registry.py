"""Which commands there are and where their code lives; nothing is imported before it is asked for.

A command is ``"name": ("module:attribute", "one line of help")``; the attribute is a click command or group.
"""

from __future__ import annotations

Table = dict[str, tuple[str, str]]

COMMANDS: Table = {}
