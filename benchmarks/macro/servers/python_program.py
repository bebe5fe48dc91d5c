"""Servers that are Python programs of this folder."""

from __future__ import annotations

import sys
from importlib import metadata

from benchmarks.macro.client import Missing
from benchmarks.macro.servers.ftp_setup import Setup


def installed_version(package: str) -> str:
    """Version of an installed package.

    Raises:
        Missing: when it is not installed.
    """
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise Missing(f"the package {package} is not installed") from None


def python_command(module: str, setup: Setup) -> list[str]:
    """Run a module of this folder as a server program."""
    call = [sys.executable, "-m", f"benchmarks.macro.servers.{module}", setup.host, str(setup.port), str(setup.root)]
    call += [str(setup.passive[0]), str(setup.passive[1])]
    return [*call, str(setup.certificate.both)] if setup.certificate else call
