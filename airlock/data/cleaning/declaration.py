"""From what a DAG declares to cleaners that can be applied: functions found, parameters checked, code digested."""

import inspect
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from airlock.data.cleaning.cleaner import Cleaned, Measure
from airlock.digests import digest_bytes, digest_document, digest_file
from airlock.errors import UserError
from airlock.model.usercode import load_function
from airlock.references import Artifact

BUILT_IN = {
    "decode_image": "images",
    "repair_text": "text",
    "min_length": "text",
    "max_length": "text",
    "not_null": "rows",
    "fill_null": "rows",
    "finite_numbers": "rows",
    "decode_audio": "audio",
}
OURS = ("name", "stream", "code")
EXAMPLE = 'For example {"name": "min_length", "minimum": 20, "unit": "words"}.'
Fetch = Callable[[Artifact, str], Path]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A cleaner as it was applied, for the record.

    :param parameters: all of them, defaults too.
    :param digest: over its code, its parameters and the versions of its libraries.
    """

    name: str
    stream: str
    parameters: dict[str, Any]
    digest: str


class Cleaner:
    """A declared cleaner.

    :param function: what it runs.
    :param applied: what the record says about it.
    :param arguments: its parameters as Python values.
    """

    def __init__(self, function: Callable[..., bytes | Cleaned], applied: Applied, arguments: dict[str, Any]) -> None:
        self.function = function
        self.applied = applied
        self.arguments = arguments
        self.name, self.stream = applied.name, applied.stream
        self._wants_source = "source" in inspect.signature(function).parameters
        prefix = f"{applied.stream}_" if applied.stream else ""
        declared: Mapping[str, Measure] = getattr(function, "measures", {})
        self.measures = {prefix + name: kind for name, kind in declared.items()}
        self._prefix = prefix

    def __call__(self, content: bytes, source: str) -> Cleaned:
        """Clean one content.

        :raises UserError: what the function returned is neither bytes nor :class:`Cleaned`.
        """
        more = {"source": source} if self._wants_source else {}
        result = self.function(content, **self.arguments, **more)
        if isinstance(result, Cleaned):
            return Cleaned(
                result.content, result.changes, {self._prefix + name: value for name, value in result.measures.items()}
            )
        if not isinstance(result, bytes):
            raise UserError(
                f"The cleaner {self.name} returned a {type(result).__name__} for {source}.",
                hint="A cleaner returns bytes or Cleaned, or raises SourceError with the reason to drop the sample.",
            )
        return Cleaned(result, ("rewritten",) if result != content else ())


def bind(declared: Sequence[Mapping[str, Any]], fetch: Fetch) -> list[Cleaner]:
    """Find every cleaner and check its parameters.

    :param declared: ``{"name": …, parameters}`` each; ``stream`` names the stream it cleans instead of the content.
        A name ``file.py:function`` is the use case's own, ``code`` its file as an artifact.
    :param fetch: copies an artifact to a file of that name.
    :raises UserError: a name or a parameter is unknown, missing or of the wrong kind.
    """
    return [_bind(dict(entry), fetch) for entry in declared]


def cleaning_digest(applied: Sequence[Applied]) -> str:
    """Return one digest for a sequence of cleaners: equal exactly when the same code did the same in the same order."""
    return digest_document([cleaner.digest for cleaner in applied])


def _bind(entry: dict[str, Any], fetch: Fetch) -> Cleaner:
    name, stream, code = (entry.pop(key, "") for key in OURS)
    if ".py:" in str(name):
        function, digest = _custom(str(name), code, fetch)
    else:
        function = _built_in(str(name))
        digest = _source_digest(sys.modules[function.__module__])
    arguments = _check(str(name), function, entry)
    parameters = msgspec.to_builtins(arguments)
    libraries = {library: version(library) for library in getattr(function, "libraries", ())}
    whole = {"name": name, "stream": stream, "code": digest, "parameters": parameters, "libraries": libraries}
    applied = Applied(name=str(name), stream=str(stream), parameters=parameters, digest=digest_document(whole))
    return Cleaner(function, applied, arguments)


def _built_in(name: str) -> Callable[..., bytes | Cleaned]:
    if name not in BUILT_IN:
        raise UserError(
            f"There is no cleaner {name!r}.",
            hint=f"Built in: {', '.join(BUILT_IN)}; your own: path/to/file.py:function. {EXAMPLE}",
        )
    function: Callable[..., bytes | Cleaned] = getattr(import_module(f"airlock.data.cleaning.{BUILT_IN[name]}"), name)
    return function


def _custom(name: str, code: Any, fetch: Fetch) -> tuple[Callable[..., bytes | Cleaned], str]:
    if not code:
        raise UserError(f"The cleaner {name} comes without its code.", hint="The operator `clean` stores the file.")
    file, _, function = name.rpartition(":")
    path = fetch(msgspec.convert(code, Artifact), Path(file).name)
    return load_function(path, function), digest_file(path)


def _source_digest(module: ModuleType) -> str:
    """Digest a module and the neighbours whose functions it uses."""
    used = {getattr(value, "__module__", "") for value in vars(module).values()} | {module.__name__}
    names = sorted(name for name in used if str(name).startswith("airlock.data."))
    files = {name: Path(str(sys.modules[name].__file__)) for name in names}
    return digest_document({name: digest_bytes(path.read_bytes()) for name, path in files.items()})


def _check(name: str, function: Callable[..., Any], parameters: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(function)
    fields: list[Any] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.name == "source":
            continue
        field = (parameter.name, hints.get(parameter.name, Any))
        fields.append(field if parameter.default is parameter.empty else (*field, parameter.default))
    model = msgspec.defstruct("Parameters", fields, kw_only=True, forbid_unknown_fields=True)
    try:
        return msgspec.structs.asdict(msgspec.convert(parameters, model))
    except msgspec.ValidationError as error:
        known = ", ".join(field[0] for field in fields) or "none"
        raise UserError(
            f"The cleaner {name} cannot take {parameters}: {error}.", hint=f"Its parameters: {known}."
        ) from error
