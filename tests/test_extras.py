"""What each extra brings is enough for what it promises, and what is missing is named with its extra."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
MODULES = {
    "argon2-cffi": "argon2",
    "aiohttp": "aiohttp",
    "click": "click",
    "cryptography": "cryptography",
    "fsspec": "fsspec",
    "pamela": "pamela",
    "prometheus-client": "prometheus_client",
    "python-socks": "python_socks",
    "rich": "rich",
    "tomli": "tomli",
    "uvloop": "uvloop",
}
"""What a distribution is imported as."""

SERVER = """
import asyncio
from fastxfer.server import FtpServer, ServerConfig, WebConfig

async def main():
    async with FtpServer(config=ServerConfig(root=".", host="127.0.0.1", port=0, anonymous=True, {settings})) as server:
        print(bool(server.web_port))

asyncio.run(main())
"""
COMMAND = "from fastxfer.cli import main; main({})"
TOML_FILE = "from fastxfer.server.settings import load_toml; print(load_toml('server.toml'))"


def extras() -> dict[str, list[str]]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return dict(project["optional-dependencies"])


def brought_by(extra: str) -> set[str]:
    """The distributions that *extra* brings, by itself and by the extras it names."""
    found = set()
    for requirement in extras()[extra]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        if name[0] == "fastxfer":
            for other in requirement.partition("[")[2].rstrip("]").split(","):
                found |= brought_by(other)
        else:
            found.add(name[0])
    return found


def run_with(code: str, directory: Path, *installed: str) -> subprocess.CompletedProcess[str]:
    """Run *code* where the extras *installed*, and no others, are there."""
    there = set().union(*map(brought_by, installed))
    missing = [module for distribution, module in MODULES.items() if distribution not in there]
    return subprocess.run(
        [sys.executable, "-c", f"import sys\nsys.modules.update(dict.fromkeys({missing!r}))\n{code}"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), *sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_every_distribution_has_its_module_here() -> None:
    assert brought_by("all") == set(MODULES)


@pytest.mark.parametrize(
    ("installed", "code", "shown"),
    [
        ("", "import fastxfer.fdfs.node, fastxfer.ftp, fastxfer.ftppy, fastxfer.server.settings; print('all')", "all"),
        ("", SERVER.format(settings=""), "False"),
        ("web", SERVER.format(settings="web=WebConfig(enabled=True)"), "True"),
        ("cli", COMMAND.format(["serve", "--help"]), "--tls-cert"),
        ("cli", COMMAND.format(["node", "--help"]), "DIRECTORY"),
        ("server", COMMAND.format(["cert", "server.pem", "--name", "localhost"]), "SHA-256"),
        ("server", COMMAND.format(["passwd", "users.txt", "alice", "--password-file", "password"]), "added alice"),
        ("server", TOML_FILE, "{'port': 2121}"),
    ],
)
def test_an_extra_is_enough(installed: str, code: str, shown: str, tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("port = 2121")
    (tmp_path / "password").write_text("correct horse")
    ran = run_with(code, tmp_path, *filter(None, [installed]))
    assert ran.returncode == 0, ran.stderr
    assert shown in ran.stdout


@pytest.mark.parametrize(
    ("installed", "code", "extra"),
    [
        ("", "import fastxfer.server.web", "web"),
        ("metrics", SERVER.format(settings="web=WebConfig(enabled=True)"), "web"),
        ("", SERVER.format(settings="metrics=True"), "metrics"),
        pytest.param(
            "",
            TOML_FILE,
            "server",
            marks=pytest.mark.skipif(sys.version_info >= (3, 11), reason="Python itself reads TOML"),
        ),
    ],
)
def test_what_is_missing_is_named_with_its_extra(installed: str, code: str, extra: str, tmp_path: Path) -> None:
    ran = run_with(code, tmp_path, *filter(None, [installed]))
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert last.endswith(f"pip install 'fastxfer[{extra}]'")


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["cert", "server.pem", "--name", "localhost"], "server"),
        (["passwd", "users.txt", "alice", "--password-file", "password"], "server"),
        (["serve", ".", "--port", "0", "--anonymous", "--web", "--no-web-metrics"], "web"),
        (["ls", "ftp://127.0.0.1:9/", "--proxy", "socks5://127.0.0.1:9"], "proxy"),
    ],
)
def test_the_command_says_in_one_line_what_it_misses(arguments: list[str], extra: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("correct horse")
    ran = run_with(COMMAND.format(arguments), tmp_path, "cli")
    assert ran.returncode == 2
    (line,) = [line for line in ran.stderr.splitlines() if not line.startswith("ftp://")]
    assert line.startswith("fastxfer: ")
    assert line.endswith(f"pip install 'fastxfer[{extra}]'")
