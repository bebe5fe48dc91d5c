"""What each core module offers: the same names and arguments compiled, pure, and in the stub."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fastxfer.core._choose import CONTRACT
from tests.core.conftest import core_module, run_python


@pytest.fixture(params=sorted(CONTRACT))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stub_of(name: str) -> ast.Module:
    path = Path(str(importlib.import_module("fastxfer._ext").__file__)).parent / f"{name}.pyi"
    return ast.parse(path.read_text("utf-8"))


def defined(stub: ast.Module) -> set[str]:
    names = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return names | {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def test_both_implementations_have_the_names(name: str, implementation: str) -> None:
    module = core_module(name, implementation)
    assert [wanted for wanted in CONTRACT[name] if not hasattr(module, wanted)] == []


def test_the_stub_has_the_names(name: str) -> None:
    assert set(CONTRACT[name]) == defined(stub_of(name))


def test_the_chooser_offers_the_names(name: str) -> None:
    chooser = importlib.import_module(f"fastxfer.core.{name}")
    assert sorted(chooser.__all__) == sorted(CONTRACT[name])
    assert all(hasattr(chooser, wanted) for wanted in CONTRACT[name])


def stub_arguments(function: ast.FunctionDef) -> list[str]:
    arguments = function.args
    names = [argument.arg for argument in arguments.posonlyargs]
    names += ["/"] if arguments.posonlyargs else []
    names += [argument.arg for argument in arguments.args]
    names += ["*"] if arguments.kwonlyargs else []
    return [name for name in names + [argument.arg for argument in arguments.kwonlyargs] if name != "self"]


def twin_arguments(function: object) -> list[str]:
    assert callable(function)
    parameters = list(inspect.signature(function).parameters.values())
    names: list[str] = []
    for position, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(parameter.name)
        after = parameters[position + 1 : position + 2]
        if parameter.kind is parameter.POSITIONAL_ONLY and not (after and after[0].kind is parameter.POSITIONAL_ONLY):
            names.append("/")
    return [name for name in names if name != "self"]


def pairs(stub: ast.Module, twin: ModuleType) -> list[tuple[str, list[str], list[str]]]:
    """Name, arguments in the stub, arguments of the twin: of functions, methods and constructors."""
    found = []
    for node in stub.body:
        if isinstance(node, ast.FunctionDef):
            found.append((node.name, stub_arguments(node), twin_arguments(getattr(twin, node.name))))
        elif isinstance(node, ast.ClassDef):
            cls = getattr(twin, node.name)
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and not method.decorator_list:
                    if method.name == "__init__":
                        found.append((node.name, stub_arguments(method), twin_arguments(cls)))
                    elif not method.name.startswith("__"):
                        function = getattr(cls, method.name)
                        found.append((f"{node.name}.{method.name}", stub_arguments(method), twin_arguments(function)))
    return found


def test_the_twin_takes_what_the_stub_says(name: str) -> None:
    compared = pairs(stub_of(name), core_module(name, "py"))
    assert compared
    assert [pair for pair in compared if pair[1] != pair[2]] == []


def test_the_compiled_module_takes_what_the_stub_says(name: str) -> None:
    """Whatever the stub lets be given by keyword can be so given."""
    module = core_module(name, "c")
    for node in stub_of(name).body:
        if isinstance(node, ast.FunctionDef):
            for argument in [*node.args.args, *node.args.kwonlyargs]:
                with pytest.raises(Exception) as caught:  # noqa: PT011 - any but one about the keyword
                    getattr(module, node.name)(**{argument.arg: _Wrong()})
                assert "unexpected keyword" not in str(caught.value), (node.name, argument.arg)


class _Wrong:
    """What no function takes."""


CHOOSE = """
import warnings
warnings.simplefilter("ignore")
import fastxfer.core.{name} as chooser
print({{getattr(chooser, name).__module__.split(".")[1] for name in chooser.__all__
       if hasattr(getattr(chooser, name), "__module__")}})
"""


@pytest.mark.parametrize("setting", ["1", "{name}", "other,{name}"])
def test_the_pure_twin_can_be_asked_for(name: str, setting: str) -> None:
    ran = run_python("-c", CHOOSE.format(name=name), FASTXFER_PURE=setting.format(name=name))
    assert ran.stdout.strip() == "{'_pure'}", ran.stderr


def test_a_module_that_is_not_compiled_is_replaced_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastxfer.core import _choose

    monkeypatch.delenv("FASTXFER_PURE", raising=False)
    monkeypatch.setitem(sys.modules, "fastxfer._ext.wire", None)
    with pytest.warns(_choose.PureFallbackWarning, match="build_ext --inplace"):
        module = _choose.implementation("wire")
    assert module is core_module("wire", "py")


def test_arguments_that_make_no_sense_close_no_descriptor() -> None:
    """What was not set up yet holds zeros, which are not the descriptors to be closed with it."""
    ran = run_python(str(Path(__file__).with_name("isolated") / "descriptors.py"))
    assert ran.returncode == 0, ran.stderr


def test_stubs_agree_with_what_is_there() -> None:
    pytest.importorskip("mypy.stubtest", reason="mypy is not installed")
    modules = [f"fastxfer._ext.{name}" for name in CONTRACT if core_module(name, "c")] + ["fastxfer.fdfs.aio"]
    allowlist = Path(__file__).with_name("stubtest_allowlist.txt")
    options = ("--concise", "--ignore-unused-allowlist", "--allowlist", str(allowlist))
    ran = run_python("-m", "mypy.stubtest", *options, *modules)
    assert ran.returncode == 0, ran.stdout + ran.stderr
