"""An architecture: a graph of layers as data, with one canonical form and therefore one digest."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from airlock.digests import canonical, digest_bytes
from airlock.model.architecture.problems import ArchitectureError, Problem

VERSION = 1
MEDIA_TYPE = "application/vnd.airlock.architecture+json"
INPUT = "input"
DTYPES = ("uint8", "int32", "float32")


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One layer of the graph.

    :param attributes: as written, ``${…}`` included.
    :param inputs: names of the nodes it reads.
    :param file: where it is defined, for people; not part of the document.
    """

    name: str
    layer: str
    attributes: dict[str, Any]
    inputs: tuple[str, ...]
    file: str = ""


class Architecture(msgspec.Struct, frozen=True, kw_only=True):
    """A whole architecture: every ``extends`` applied, every default input written out.

    :param name: its file, for people.
    :param shape: one sample's, without the batch.
    :param parameters: defaults of what ``${…}`` names.
    :param problems: what is wrong with its form; :func:`~airlock.model.architecture.check` adds the rest.
    :param sources: the files it was read from.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    parameters: dict[str, Any]
    nodes: tuple[Node, ...]
    output: str
    problems: tuple[Problem, ...] = ()
    sources: tuple[Path, ...] = ()

    @property
    def document(self) -> dict[str, Any]:
        """The same as a document that needs no other file; resolving it again gives the same."""
        return {
            "airlock_architecture": VERSION,
            "input": {"shape": list(self.shape), "dtype": self.dtype},
            "parameters": self.parameters,
            "nodes": [{node.name: {node.layer: node.attributes, "inputs": list(node.inputs)}} for node in self.nodes],
            "output": self.output,
        }

    @property
    def data(self) -> bytes:
        """The document's canonical bytes.

        :raises ArchitectureError: its form is wrong, so that it has no canonical one.
        """
        if self.problems:
            raise ArchitectureError(self.name, self.problems)
        return canonical(self.document)

    @property
    def digest(self) -> str:
        """sha256 of :attr:`data`."""
        return digest_bytes(self.data)

    def node(self, name: str) -> Node:
        """Return a node by its name."""
        return next(node for node in self.nodes if node.name == name)

    def with_attributes(self, changes: Mapping[str, Mapping[str, Any]]) -> "Architecture":
        """Return it with other attributes of some nodes."""
        nodes: Sequence[Node] = [
            msgspec.structs.replace(node, attributes={**changes[node.name]}) if node.name in changes else node
            for node in self.nodes
        ]
        return msgspec.structs.replace(self, nodes=tuple(nodes))
