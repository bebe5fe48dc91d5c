"""Which commands there are and where their code lives; nothing is imported before it is asked for.

A command is ``"name": ("module:attribute", "one line of help")``; the attribute is a click command or group.
"""

from __future__ import annotations

Table = dict[str, tuple[str, str]]

COMMANDS: Table = {
    "bench": ("fastxfer.cli.bench:bench", "Measure transfers with your own servers."),
    "cat": ("fastxfer.cli.urls.listing:cat", "Write files to standard output."),
    "cert": ("fastxfer.cli.serve:cert", "Make a self-signed certificate for a start with TLS."),
    "demo": ("fastxfer.cli.demo:demo", "Send a directory through a FastDFS node on this machine and verify it."),
    "fdfs": ("fastxfer.cli.fdfs:fdfs", "Work with a FastDFS cluster."),
    "get": ("fastxfer.cli.urls.copying:get", "Download files."),
    "ls": ("fastxfer.cli.urls.listing:ls", "List directories."),
    "mirror": ("fastxfer.cli.urls.syncing:mirror", "Make one directory a copy of another, removing what is not in it."),
    "mkdir": ("fastxfer.cli.urls.changing:mkdir", "Make directories."),
    "mv": ("fastxfer.cli.urls.changing:mv", "Rename or move files."),
    "node": ("fastxfer.cli.node:node", "Run a FastDFS tracker and storage on this machine, for development."),
    "passwd": ("fastxfer.cli.serve:passwd", "Set passwords in a users file of the FTP server."),
    "put": ("fastxfer.cli.urls.copying:put", "Upload files."),
    "rm": ("fastxfer.cli.urls.changing:rm", "Remove files."),
    "serve": ("fastxfer.cli.serve:serve", "Serve a directory by FTP/FTPS and HTTP."),
    "stat": ("fastxfer.cli.urls.listing:stat", "Show what is known of files."),
    "sync": ("fastxfer.cli.urls.syncing:sync", "Make one directory like another."),
    "tree": ("fastxfer.cli.urls.listing:tree", "Show a directory and all that is in it."),
    "verify": ("fastxfer.cli.urls.syncing:verify", "Compare two directories or files."),
}
