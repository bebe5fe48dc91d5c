"""From text to settings: TOML files and command-line values, checked against the classes of :mod:`.config`.

The names are those of the classes, so there is no second list of them. A path like ``tls.cert`` is ``cert`` in the
table ``[tls]``, and ``--tls-cert`` on the command line.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import math
import sys
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fastxfer.server import config as config_module
from fastxfer.server.config import ServerConfig
from fastxfer.server.usersfile import parse_size

__all__ = ["Setting", "build", "load_toml", "settings_of"]

T = TypeVar("T")


@dataclass(frozen=True)
class Setting:
    """One setting, as a command line offers it."""

    path: tuple[str, ...]
    """Names from the top: ``("tls", "cert")``."""
    kind: Any
    """Type, as annotated."""
    default: Any
    doc: str

    @property
    def flag(self) -> str:
        """``--tls-cert``"""
        return "--" + "-".join(self.path).replace("_", "-")

    @property
    def many(self) -> bool:
        """Whether it may be given several times."""
        origin = typing.get_origin(self.kind)
        arguments = typing.get_args(self.kind)
        return (origin is tuple and arguments[-1] is Ellipsis) or origin is Mapping or origin is types.MappingProxyType


def settings_of(cls: type = ServerConfig, prefix: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting of *cls* and of the classes inside it."""
    kinds = typing.get_type_hints(cls)
    docs = _docs().get(cls.__name__, {})
    for field in dataclasses.fields(cls):
        kind = kinds[field.name]
        path = (*prefix, field.name)
        if dataclasses.is_dataclass(kind):
            yield from settings_of(typing.cast(type, kind), path)
            continue
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if field.default_factory is not dataclasses.MISSING else None
        yield Setting(path, kind, default, docs.get(field.name, ""))


def _docs() -> dict[str, dict[str, str]]:
    """Class → attribute → the string that stands behind it in the source; empty where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(config_module))
    except OSError:
        return {}
    found: dict[str, dict[str, str]] = {}
    for cls in tree.body:
        if not isinstance(cls, ast.ClassDef):
            continue
        docs = found[cls.name] = {}
        for statement, following in zip(cls.body, cls.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
            ):
                docs[statement.target.id] = " ".join(str(following.value.value).split())
    return found


def load_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ImportError: Python is older than 3.11, and tomli is missing.
        OSError: it cannot be read.
        ValueError: it is not TOML; the message names the file.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ImportError("settings files need tomli before Python 3.11: pip install 'fastxfer[server]'") from error
    text = Path(path).read_text(encoding="utf-8")
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    return tables


def build(values: Mapping[str, Any], cls: type[T] = ServerConfig, where: str = "") -> T:  # type: ignore[assignment]
    """An instance of *cls* from nested mappings of plain values, strings converted where that is meant.

    Raises:
        ValueError: a name is unknown or a value is not of its type; the message tells which.
    """
    kinds = typing.get_type_hints(cls)
    unknown = [name for name in values if name not in kinds]
    if unknown:
        raise ValueError(f"unknown setting {where + unknown[0]!r}")
    return cls(**{name: _convert(value, kinds[name], where + name) for name, value in values.items()})


def _convert(value: Any, kind: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return None if value is None else _convert(value, kind, where)
    if dataclasses.is_dataclass(kind):
        if isinstance(value, str):
            value = _pairs(value, where)
        if not isinstance(value, Mapping):
            raise ValueError(f"{where} must be a table")
        return build(value, typing.cast(type, kind), where + ".")
    if origin is tuple:
        return _convert_tuple(value, arguments, where)
    if origin is not None:
        return _convert_mapping(value, where)
    if kind is bool:
        return _convert_bool(value, where)
    if kind in (int, float):
        return _convert_number(value, kind, where)
    if not isinstance(value, str):
        raise ValueError(f"{where} must be a text, not {value!r}")
    return value


def _convert_tuple(value: Any, arguments: tuple[Any, ...], where: str) -> tuple[Any, ...]:
    if isinstance(value, str):
        separator = "," if arguments[-1] is Ellipsis else "-"
        value = [part.strip() for part in value.split(separator)]
    if not isinstance(value, Sequence):
        raise ValueError(f"{where} must be a list")
    if arguments[-1] is Ellipsis:
        return tuple(_convert(item, arguments[0], where) for item in value)
    if len(value) != len(arguments):
        raise ValueError(f"{where} must have {len(arguments)} values")
    return tuple(_convert(item, kind, where) for item, kind in zip(value, arguments, strict=True))


def _convert_mapping(value: Any, where: str) -> dict[str, str]:
    if isinstance(value, (list, tuple)):
        value = dict(pair for item in value for pair in _pairs(item, where).items())
    if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError(f"{where} must be a table of texts")
    return dict(value)


def _convert_bool(value: Any, where: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        return value.lower() in ("true", "yes", "on", "1")
    if not isinstance(value, bool):
        raise ValueError(f"{where} must be true or false, not {value!r}")
    return value


def _convert_number(value: Any, kind: type, where: str) -> int | float:
    if isinstance(value, str):
        try:
            value = _parse_number(value, kind, where)
        except ValueError:
            raise ValueError(f"{where} must be a number, not {value!r}") from None
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not (whole or (kind is float and isinstance(value, float) and math.isfinite(value))):
        raise ValueError(f"{where} must be a number, not {value!r}")
    if value < 0 and not where.endswith("fd"):
        raise ValueError(f"{where} must not be negative")
    result: int | float = kind(value)
    return result


def _parse_number(text: str, kind: type, where: str) -> int | float:
    if kind is float:
        return float(text)
    return int(text, 8) if where.endswith("umask") else parse_size(text)


def _pairs(text: str, where: str) -> dict[str, str]:
    """``a=1,b=2`` → its pairs."""
    found = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"{where}: expected name=value, not {part!r}")
        found[key.strip()] = value.strip()
    return found
