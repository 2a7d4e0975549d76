"""From files that extend one another to one architecture."""

import os
from pathlib import Path
from typing import Any

import msgspec

from airlock.errors import UserError
from airlock.model.architecture.document import DTYPES, INPUT, VERSION, Architecture, Node
from airlock.model.architecture.entries import Entry, read_entries
from airlock.model.architecture.problems import Problem, meant
from airlock.model.architecture.reading import YAML, parse, read_document

KEYS = ("airlock_architecture", "extends", "input", "parameters", "nodes", "output")


def resolve(path: Path) -> Architecture:
    """Read an architecture and all it extends.

    What is wrong with single nodes is in the result's ``problems``, for
    :func:`~airlock.model.architecture.checking.check` to report together with the rest.

    :raises UserError: a file is missing or not well-formed, or they extend one another in a circle.
    """
    merging = Merging(path.name)
    chain = _chain(path)
    for file, document in chain:
        merging.add(document, os.path.relpath(file, path.parent))
    return msgspec.structs.replace(merging.result(), sources=tuple(file for file, _ in chain))


def read(data: bytes, name: str) -> Architecture:
    """Read a resolved document from its bytes.

    :raises UserError: it is not well-formed, or extends a file, which bytes cannot.
    """
    document = parse(data, name)
    if "extends" in document:
        raise UserError(f"The architecture {name} extends another file.", hint="Pass the resolved document.")
    merging = Merging(name)
    merging.add(document, name)
    return merging.result()


def found_in(path: Path) -> Architecture | None:
    """Return the architecture that a file holds: YAML by its name, JSON by its content; nothing when it holds code.

    :raises UserError: it holds one that is not well-formed.
    """
    if path.suffix in YAML:
        return resolve(path)
    data = path.read_bytes()
    if path.suffix == ".json" or data.lstrip().startswith(b"{"):
        return resolve(path) if path.suffix == ".json" else read(data, "of this artifact")
    return None


def _chain(path: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return the files from the first base to the architecture itself."""
    found: list[tuple[Path, dict[str, Any]]] = []
    while True:
        seen = [file.resolve() for file, _ in found]
        if path.resolve() in seen:
            circle = [*(file.name for file, _ in found[seen.index(path.resolve()) :]), path.name]
            raise UserError(f"Architectures extend one another: {' -> '.join(circle)}.", hint="Break the circle.")
        if found and not path.is_file():
            raise UserError(
                f"The architecture {found[-1][0].name} extends {found[-1][1]['extends']!r}, which is not there.",
                hint="The path is relative to the file that names it.",
            )
        document = read_document(path)
        found.append((path, document))
        base = document.get("extends")
        if base is None:
            return found[::-1]
        if not isinstance(base, str):
            raise UserError(f"The architecture {path.name} extends {base!r}, no path.", hint="Name one file.")
        path = path.parent / base


class Merging:
    """Puts documents on top of one another, the base first.

    :param name: the architecture's own file.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.input: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {}
        self.entries: list[Entry] = []
        self.output: Any = None
        self.problems: list[Problem] = []

    def add(self, document: dict[str, Any], file: str) -> None:
        """Put a document on top."""
        self._check_keys(document, file)
        self.output = document.get("output", self.output)
        for name, known in (("input", self.input), ("parameters", self.parameters)):
            given = document.get(name) or {}
            if isinstance(given, dict):
                known.update(given)
            else:
                self.problems.append(Problem(file, name, "is no mapping"))
        self.parameters = {name: value for name, value in self.parameters.items() if value is not None}
        for name in self.parameters:
            if not name.isidentifier() or name == "classes":
                self.problems.append(Problem(file, "parameters", f"a parameter cannot be called {name!r}"))
        entries, problems = read_entries(document.get("nodes") or [], file)
        self.problems += problems
        for entry in {entry.name: entry for entry in entries}.values():
            self._lay(entry)

    def result(self) -> Architecture:
        """Return what came of all documents."""
        shape, dtype = self._input()
        output = self.output if self.output is not None else self.entries[-1].name if self.entries else ""
        if not self.entries:
            self.problems.append(Problem(self.name, "nodes", "there is no node"))
        if not isinstance(output, str):
            self.problems.append(Problem(self.name, "output", "is no node's name"))
        before = [INPUT, *(entry.name for entry in self.entries)]
        nodes = tuple(
            Node(
                name=entry.name,
                layer=entry.layer,
                attributes=entry.attributes,
                inputs=entry.inputs or (before[place],),
                file=entry.file,
            )
            for place, entry in enumerate(self.entries)
        )
        return Architecture(
            name=self.name,
            shape=shape,
            dtype=dtype,
            parameters=self.parameters,
            nodes=nodes,
            output=str(output),
            problems=tuple(dict.fromkeys(self.problems)),
        )

    def _check_keys(self, document: dict[str, Any], file: str) -> None:
        if document.get("airlock_architecture") != VERSION:
            self.problems.append(
                Problem(file, "", f"is no architecture: begin it with `airlock_architecture: {VERSION}`")
            )
        for key in [key for key in document if key not in KEYS]:
            self.problems.append(Problem(file, "", f"has the key {key}{meant(key, KEYS)}"))

    def _input(self) -> tuple[tuple[int, ...], str]:
        shape, dtype = self.input.get("shape"), self.input.get("dtype", DTYPES[0])
        for key in [key for key in self.input if key not in ("shape", "dtype")]:
            self._wrong_input(f"has the key {key}: it has shape and dtype, and there is one input")
        if dtype not in DTYPES:
            self._wrong_input(f"the dtype is {dtype!r}; it must be one of {', '.join(DTYPES)}, as the tensors are")
        fits = isinstance(shape, list) and shape and all(type(size) is int and size > 0 for size in shape)
        if not fits:
            self._wrong_input(f"the shape is {shape!r}; it must be a list of whole numbers ≥ 1, without the batch")
        return tuple(shape) if fits and shape else (), str(dtype)

    def _wrong_input(self, reason: str) -> None:
        self.problems.append(Problem(self.name, "input", reason))

    def _lay(self, entry: Entry) -> None:
        names = [each.name for each in self.entries]
        there = self.entries.pop(names.index(entry.name)) if entry.name in names else None
        place = names.index(entry.name) if there else len(self.entries)
        if entry.removed or not (entry.layer or there):
            if not there:
                reason = "is removed, and no file it extends has it" if entry.removed else "has no layer"
                self.problems.append(Problem(entry.file, entry.name, reason + meant(entry.name, names)))
            return
        if entry.after:
            place = self._behind(entry, place)
        self.entries.insert(place, _merged(there, entry) if there else entry)

    def _behind(self, entry: Entry, otherwise: int) -> int:
        names = [INPUT, *(each.name for each in self.entries)]
        if entry.after in names:
            return names.index(entry.after)
        reason = f"stands after {entry.after}, and there is no such node{meant(entry.after, names)}"
        self.problems.append(Problem(entry.file, entry.name, reason))
        return otherwise


def _merged(there: Entry, entry: Entry) -> Entry:
    layer = entry.layer or there.layer
    attributes = {**(there.attributes if layer == there.layer else {}), **entry.attributes}
    kept = {name: value for name, value in attributes.items() if value is not None or name not in entry.attributes}
    inputs = there.inputs if entry.inputs is None else entry.inputs
    return Entry(name=entry.name, file=entry.file, layer=layer, attributes=kept, inputs=inputs)
