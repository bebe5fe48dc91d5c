"""Which commands there are and where their code lives; nothing is imported before it is asked for.

A command is ``"name": ("module:attribute", "one line of help")``; the attribute is a click command or group.
"""

from __future__ import annotations

Table = dict[str, tuple[str, str]]

COMMANDS: Table = {
    "bench": ("fastxfer.cli.bench:bench", "Measure transfers with your own servers."),
    "cert": ("fastxfer.cli.serve:cert", "Make a self-signed certificate for a start with TLS."),
    "demo": ("fastxfer.cli.demo:demo", "Send a directory through a FastDFS node on this machine and verify it."),
    "fdfs": ("fastxfer.cli.fdfs:fdfs", "Work with a FastDFS cluster."),
    "node": ("fastxfer.cli.node:node", "Run a FastDFS tracker and storage on this machine, for development."),
    "passwd": ("fastxfer.cli.serve:passwd", "Set passwords in a users file of the FTP server."),
    "serve": ("fastxfer.cli.serve:serve", "Serve a directory by FTP/FTPS and HTTP."),
}
