"""The root of the ``fastxfer`` command: help, lazy loading, errors to exit codes, missing packages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from fastxfer import __version__
from fastxfer.cli import _app, _registry, main
from fastxfer.cli._errors import CommandFailed, describe, exit_code
from fastxfer.cli._exit_codes import ExitCode


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


def test_help_explains_the_exit_codes_and_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run(["--help"]) == 0
    text = capsys.readouterr().out
    assert "Exit codes:" in text
    for name in _registry.COMMANDS:
        assert name in text


def test_help_imports_no_command() -> None:
    modules = {path.partition(":")[0] for path, _ in _registry.COMMANDS.values()}
    code = (
        "import sys\nfrom fastxfer.cli import _app\n_app.run(['--help'])\n"
        f"sys.exit(any(name in sys.modules for name in {sorted(modules)!r}))"
    )
    assert run_python(code).returncode == 0


@pytest.mark.parametrize("name", sorted(_registry.COMMANDS))
def test_every_registered_command_loads_and_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run([name, "--help"]) == 0
    assert "Usage: fastxfer " + name in capsys.readouterr().out


def test_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run(["no-such-command"]) == ExitCode.USAGE
    assert "no-such-command" in capsys.readouterr().err


def test_main_exits_with_the_code_of_the_command() -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["no-such-command"])
    assert stopped.value.code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(111, "Connection refused"), ExitCode.UNREACHABLE),
        (TimeoutError("no answer"), ExitCode.UNREACHABLE),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), ExitCode.LOCAL),
        (PermissionError(13, "Permission denied", "a.txt"), ExitCode.LOCAL),
        (ValueError("bad"), ExitCode.USAGE),
        (CommandFailed("three of ten failed"), ExitCode.FAILED),
        (CommandFailed("not there", ExitCode.NOT_FOUND), ExitCode.NOT_FOUND),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (ZeroDivisionError("a bug"), None),
    ],
)
def test_exit_code_of(error: BaseException, code: ExitCode | None) -> None:
    assert exit_code(error) == code


def test_a_local_error_names_the_file() -> None:
    assert describe(FileNotFoundError(2, "No such file or directory", "a.txt")) == "a.txt: No such file or directory"


@pytest.fixture
def failing_command(monkeypatch: pytest.MonkeyPatch) -> str:
    @click.command("fail")
    @click.option("--json", "as_json", is_flag=True)
    def fail(as_json: bool) -> None:
        raise CommandFailed(f"gone {as_json}", ExitCode.NOT_FOUND)

    monkeypatch.setitem(_app.app.commands, "fail", fail)
    return "fail"


def test_a_failure_is_one_line_on_standard_error(failing_command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run([failing_command]) == ExitCode.NOT_FOUND
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "fastxfer: gone False\n")


def test_with_json_a_failure_is_a_json_document(failing_command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _app.run([failing_command, "--json"]) == ExitCode.NOT_FOUND
    assert json.loads(capsys.readouterr().err) == {"error": "gone True", "type": "CommandFailed", "exit_code": 3}


@pytest.mark.parametrize("package", ["click", "rich"])
def test_a_missing_package_is_named_with_the_way_to_install_it(package: str, tmp_path: Path) -> None:
    code = f"import sys\nsys.modules[{package!r}] = None\nfrom fastxfer.cli import main\nmain(['--version'])"
    result = run_python(code)
    assert result.returncode == ExitCode.USAGE
    assert package in result.stderr
    assert "pip install 'fastxfer[cli]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_python_dash_m_runs_the_command() -> None:
    command = [sys.executable, "-m", "fastxfer", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, __version__ in result.stdout) == (0, True)
