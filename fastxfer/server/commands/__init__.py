"""The commands of the server, by family. Importing this package fills the table."""

from fastxfer.server.commands import (
    auth,
    connection,
    directory,
    extension,
    file,
    hashing,
    listing,
    site,
    status,
    transfer,
)
from fastxfer.server.commands.table import COMMANDS, Command

__all__ = [
    "COMMANDS",
    "Command",
    "auth",
    "connection",
    "directory",
    "extension",
    "file",
    "hashing",
    "listing",
    "site",
    "status",
    "transfer",
]
