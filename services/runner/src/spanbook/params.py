"""The pipeline's parameters: typed by its signature, given by flags, a YAML file or the environment."""

import dataclasses
import datetime
import enum
import inspect
import json
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from spanbook.errors import ParameterError, one_of
from spanbook.pipeline import Pipeline

ENV_PREFIX = "SPANBOOK_PARAM_"
_TIMES = {
    datetime.date: "2026-01-31",
    datetime.datetime: "2026-01-31T12:30",
    datetime.time: "12:30",
    datetime.timedelta: "90",
}
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def resolve(
    pipeline: Pipeline[..., Any],
    *,
    flags: Sequence[str] = (),
    file: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The value of each parameter: from ``--param``, else the file, else the environment, else the default.

    Raises:
        ParameterError: one is unknown, missing, or not of its type.
    """
    known = _parameters(pipeline)
    given: dict[str, tuple[Any, str]] = {}
    for key, text in (env or {}).items():
        if key.startswith(ENV_PREFIX):
            name = next(
                (n for n in known if n.lower() == key.removeprefix(ENV_PREFIX).lower()), None
            )
            _must_be_known(name, key, known, pipeline.name)
            given[str(name)] = (text, key)
    if file is not None:
        for key, value in _read_file(file).items():
            _must_be_known(
                key if key in known else None, f"{key!r} in {file}", known, pipeline.name, key
            )
            given[key] = (value, f"{key!r} in {file}")
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not equals:
            raise ParameterError(f"--param {flag!r} has no '='. Write --param name=value.")
        _must_be_known(key if key in known else None, f"--param {key}", known, pipeline.name)
        given[key] = (text, f"--param {key}")
    return {name: _value(parameter, given.get(name)) for name, parameter in known.items()}


def describe(pipeline: Pipeline[..., Any]) -> list[str]:
    """One line for each parameter, for ``--help``."""
    lines = []
    for parameter in _parameters(pipeline).values():
        kind = (
            ""
            if parameter.annotation is parameter.empty
            else f": {_type_text(parameter.annotation)}"
        )
        default = (
            " (required)" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        )
        lines.append(f"{parameter.name}{kind}{default}")
    return lines


def _parameters(pipeline: Pipeline[..., Any]) -> dict[str, inspect.Parameter]:
    hints: dict[str, Any] = {}
    try:
        hints = typing.get_type_hints(pipeline.function)
    except Exception as error:
        raise ParameterError(
            f"The type annotations of pipeline {pipeline.name!r} cannot be read: {error}"
        ) from error
    found = {}
    for parameter in pipeline.signature.parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ParameterError(
                f"Pipeline {pipeline.name!r} takes {parameter}: a pipeline's parameters are named one by one."
            )
        kind = hints.get(parameter.name, parameter.annotation)
        found[parameter.name] = parameter.replace(annotation=kind)
    return found


def _must_be_known(
    name: str | None,
    shown: str,
    known: Mapping[str, inspect.Parameter],
    pipeline: str,
    word: str = "",
) -> None:
    if name is None:
        word = word or shown.removeprefix("--param ").removeprefix(ENV_PREFIX).lower()
        raise ParameterError(
            f"{shown}: the pipeline {pipeline!r} has no such parameter. {one_of(word, known)}"
        )


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ParameterError(f"The parameters file {file} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ParameterError(f"The parameters file {file} is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ParameterError(
            f"The parameters file {file} holds a {type(content).__name__}; it should be a mapping, "
            "one `name: value` a line."
        )
    return {str(key): value for key, value in content.items()}


def _value(parameter: inspect.Parameter, given: tuple[Any, str] | None) -> Any:
    if given is None:
        if parameter.default is parameter.empty:
            raise ParameterError(
                f"The parameter {parameter.name!r} has no default: give it with --param {parameter.name}=…"
            )
        return parameter.default
    value, origin = given
    try:
        return convert(value, parameter.annotation)
    except Exception as error:
        told = str(error) if isinstance(error, ValueError | TypeError) else type(error).__name__
        raise ParameterError(
            f"{origin} is {value!r}, which is no {_type_text(parameter.annotation)}"
            f"{f': {told}' if told else ''}{'' if told.endswith('?') else '.'}"
        ) from error


def convert(value: Any, kind: Any) -> Any:  # noqa: C901, PLR0911, PLR0912
    """``value``, text or from YAML, as ``kind``.

    Lists may be given as ``1,2,3`` or as JSON or YAML (``[1, 2, 3]``).

    Raises:
        ValueError | TypeError: it is none.
    """
    if kind in (inspect.Parameter.empty, Any, object):
        return _parse(value) if isinstance(value, str) else value
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, arguments)
    if origin is typing.Literal:
        for choice in arguments:
            if value == choice or (isinstance(value, str) and value == str(choice)):
                return choice
        raise ValueError(f"choose from {', '.join(map(repr, arguments))}")
    if origin is typing.Annotated:
        return convert(value, arguments[0])
    base = origin or kind
    if base in (list, tuple, set, frozenset, Sequence):
        return _convert_items(value, base, arguments)
    if base in (dict, Mapping):
        return _convert_mapping(value, arguments)
    if kind is None or kind is type(None):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
            return None
        raise ValueError("it is not none")
    if kind is bool:
        text = str(value).lower()
        if isinstance(value, bool) or text in _TRUE + _FALSE:
            return text in _TRUE
        raise ValueError("write true or false")
    if kind in (int, float):
        if isinstance(value, bool):
            raise ValueError("it is a bool")
        if kind is int and isinstance(value, float) and not value.is_integer():
            raise ValueError("it has a fraction")
        try:
            return kind(value)
        except (ValueError, TypeError):
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(f"{value!r} is not {wanted}") from None
    if kind is str:
        if value is None or isinstance(value, list | dict):
            raise ValueError("write a text, in quotes where YAML reads it as something else")
        return value if isinstance(value, str) else str(value)
    if kind in _TIMES:
        return _convert_time(value, kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _convert_dataclass(value, kind)
    return _convert_class(value, kind)


def _convert_union(value: Any, kinds: tuple[Any, ...]) -> Any:
    ordered = sorted(kinds, key=lambda k: (k is str, k is not type(None)))
    why = []
    for kind in ordered:
        try:
            return convert(value, kind)
        except Exception as error:  # noqa: BLE001 (a class of the user's may raise anything)
            why.append("" if kind is type(None) else str(error))
    told = [reason for reason in why if reason]
    raise ValueError(told[0] if len(told) == 1 else "")


def _convert_items(value: Any, base: Any, kinds: tuple[Any, ...]) -> Any:
    if isinstance(value, str):
        parsed = _parse(value)
        value = (
            parsed
            if isinstance(parsed, list)
            else [p.strip() for p in value.split(",") if p.strip()]
        )
    if not isinstance(value, list | tuple):
        raise TypeError("give a list: 1,2,3")
    made = list if base is Sequence else base
    if base is tuple and kinds and kinds[-1] is not Ellipsis:
        if len(value) != len(kinds):
            raise ValueError(f"it needs {len(kinds)} items")
        return tuple(convert(v, k) for v, k in zip(value, kinds, strict=True))
    kind = kinds[0] if kinds else Any
    return made(convert(v, kind) for v in value)


def _convert_mapping(value: Any, kinds: tuple[Any, ...]) -> Any:
    value = _parse(value) if isinstance(value, str) else value
    if not isinstance(value, dict):
        raise TypeError('give a mapping: {"a": 1}')
    key, item = kinds or (Any, Any)
    return {convert(k, key): convert(v, item) for k, v in value.items()}


def _convert_class(value: Any, kind: Any) -> Any:
    if isinstance(kind, type) and isinstance(value, kind):
        return value
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        for member in kind:
            if value in (member.value, member.name) or str(value) == str(member.value):
                return member
        raise ValueError(f"choose from {', '.join(m.name for m in kind)}")
    if isinstance(kind, type):
        return kind(value)
    return value


def _convert_time(value: Any, kind: Any) -> Any:
    if type(value) is kind:
        return value
    if kind is datetime.timedelta:
        try:
            return datetime.timedelta(seconds=float(value))
        except (ValueError, TypeError):
            raise ValueError("give a number of seconds") from None
    try:
        return kind.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"{error}; write it as {_TIMES[kind]}") from None


def _convert_dataclass(value: Any, kind: type) -> Any:
    """A mapping as a dataclass, each field by its own annotation."""
    if isinstance(value, kind):
        return value
    given = _parse(value) if isinstance(value, str) else value
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    if not isinstance(given, dict):
        raise TypeError(f"give a mapping of its fields, {', '.join(fields)}")
    hints = typing.get_type_hints(kind)
    converted = {}
    for name, part in given.items():
        if name not in fields:
            raise ValueError(f"it has no field {name!r}. {one_of(str(name), fields)}")
        try:
            converted[name] = convert(part, hints[name])
        except Exception as error:
            text = f"its field {name!r} is {part!r}, which is no {_type_text(hints[name])}"
            raise ValueError(f"{text}: {error}" if str(error) else text) from error
    return kind(**converted)


def _parse(text: str) -> Any:
    """Text as YAML would read it (JSON is YAML), or as it is."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _type_text(kind: Any) -> str:
    if kind is inspect.Parameter.empty:
        return "value"
    if isinstance(kind, type) and not typing.get_args(kind):
        return kind.__name__
    return str(kind).replace("typing.", "")
