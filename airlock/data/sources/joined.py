"""Multi-stream samples: several sources joined by key, for example RGB, segmentation mask and depth."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from airlock.data.download import Report
from airlock.data.samples import Sample
from airlock.data.streams import KeyPattern, StreamRule, check_aligned, listed, missing_streams, paths_of
from airlock.digests import digest_document
from airlock.errors import SourceError, UserError

if TYPE_CHECKING:
    from airlock.data.sources.source import Samples, Source

log = logging.getLogger(__name__)


class Joined(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="joined"):
    """Several sources whose samples belong together.

    :param streams: name to source. The primary's content becomes the sample's, the others its streams.
    :param key: regular expression on the path inside the source; its groups are what the streams share.
    :param primary: the stream that gives content, label, group and split.
    :param missing: what to do with a key that a stream lacks: fail, or leave the sample out and log it.
    :param rules: mode and alignment of each stream; without a rule any mode, aligned.
    """

    streams: dict[str, dict[str, Any]]
    key: str
    primary: str
    missing: Literal["fail", "drop"] = "fail"
    rules: dict[str, StreamRule] = {}

    @contextmanager
    def open(self, workdir: Path, report: Report) -> Iterator["JoinedSamples"]:
        """Open every stream's source, and find which samples belong together."""
        self._check()
        pattern = KeyPattern(self.key)
        with ExitStack() as stack:
            opened: dict[str, Samples] = {}
            for name, source in self._sources().items():
                folder = workdir / name
                folder.mkdir(exist_ok=True)
                opened[name] = stack.enter_context(source.open(folder, report))
            places = {name: pattern.places(name, paths_of(samples)) for name, samples in opened.items()}
            rules = {name: self.rules.get(name, StreamRule()) for name in self.streams}
            yield JoinedSamples(opened, places, self._complete(places), self.primary, rules)

    def fingerprint(self) -> str:
        """Digest of every stream's fingerprint."""
        self._check()
        return digest_document({name: source.fingerprint() for name, source in self._sources().items()})

    def _sources(self) -> "dict[str, Source]":
        from airlock.data.sources import parse_source

        return {name: parse_source(declared) for name, declared in self.streams.items()}

    def _check(self) -> None:
        unknown = sorted({self.primary, *self.rules} - self.streams.keys())
        nested = [name for name, declared in self.streams.items() if declared.get("kind") == "joined"]
        wrong = [name for name in self.streams if not name.isidentifier()]
        if unknown or nested or wrong or len(self.streams) < 2:
            raise UserError(
                f"The joined source has the streams {listed(self.streams)}"
                + (f" and speaks of {listed(unknown)}" if unknown else "")
                + (f"; {listed(nested)} is joined itself" if nested else "")
                + (f"; {listed(wrong)} is no name for a column" if wrong else "")
                + ".",
                hint="Name two streams or more, like Python names, and take the primary and the rules from them.",
            )

    def _complete(self, places: Mapping[str, Mapping[str, int]]) -> list[str]:
        lacking = missing_streams(places)
        lines = [f"{key} lacks {' and '.join(streams)}" for key, streams in lacking.items()]
        for line in lines:
            log.warning("%s: %s", "left out" if self.missing == "drop" else "missing stream", line)
        complete = [key for key in places[self.primary] if key not in lacking]
        if lines and (self.missing == "fail" or not complete):
            raise SourceError(
                f"{len(lines)} samples do not have every stream: {listed(lines)}.",
                hint='Bring the files (the log names every one), or leave such samples out with "missing": "drop".',
            )
        return complete


class JoinedSamples:
    """Samples that every stream has.

    :param opened: the streams' samples.
    :param places: for each stream the place of each key.
    :param keys: the complete ones, in the order of the primary stream.
    """

    def __init__(
        self,
        opened: "Mapping[str, Samples]",
        places: Mapping[str, Mapping[str, int]],
        keys: list[str],
        primary: str,
        rules: Mapping[str, StreamRule],
    ) -> None:
        self.opened = opened
        self.places = places
        self.keys = keys
        self.primary = primary
        self.rules = rules
        self.streams = tuple(name for name in opened if name != primary)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        key = self.keys[index]
        parts = {name: samples[self.places[name][key]] for name, samples in self.opened.items()}
        check_aligned(key, {name: part.content for name, part in parts.items()}, self.primary, self.rules)
        first = parts[self.primary]
        for name, part in parts.items():
            if part.split is not None and part.split != first.split:
                raise SourceError(
                    f"Sample {key}: the stream {name} is {part.split}, {self.primary} is {first.split or 'not'}.",
                    hint="Join the published parts one by one, or let all streams say the same.",
                )
        return msgspec.structs.replace(
            first,
            metadata={**first.metadata, "key": key},
            streams={name: parts[name].content for name in self.streams},
        )
