"""From an opened source to a Parquet file of samples."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from airlock.data.download import Report
from airlock.data.fetching import fetch_missing
from airlock.data.files import written
from airlock.data.journal import Journal
from airlock.data.samples import Sample, SampleWriter
from airlock.data.sources.source import Listed, Samples
from airlock.errors import SourceError

REPORT_EVERY = 5000
JOURNAL = "journal"


def write_samples(
    samples: Samples, target: Path, limit: int, report: Report, folder: Path | None = None
) -> SampleWriter:
    """Copy samples to a Parquet file, each content once.

    :param limit: at most that many samples, taken evenly over the whole source; 0 for all.
    :param report: called with (samples so far, samples in all, ``"sample"``).
    :param folder: where a journal of what was fetched from elsewhere lies; by default beside the target.
    :return: the closed writer, with its counts.
    :raises SourceError: the source holds no sample.
    """
    if not len(samples):
        raise SourceError(
            "The source is empty: it holds no sample.",
            hint="Check its location; the folders in it are the classes, hidden files are no samples.",
        )
    total = min(limit or len(samples), len(samples))
    return write_chosen(samples, list(evenly(len(samples), total)), target, report, folder or target.parent)


def write_chosen(samples: Samples, wanted: Sequence[int], target: Path, report: Report, folder: Path) -> SampleWriter:
    """Copy the samples with these ascending numbers; what costs a request goes through the journal in ``folder``."""
    total = len(wanted)
    with written(target), SampleWriter(target, streams=getattr(samples, "streams", ())) as writer:
        for done, sample in enumerate(_chosen(samples, wanted, folder, report), start=1):
            writer.add(sample)
            if done % REPORT_EVERY == 0 or done == total:
                report(done, total, "sample")
    return writer


def _chosen(samples: Samples, wanted: Sequence[int], folder: Path, report: Report) -> Iterator[Sample]:
    # In this order: looking for a folder's items would ask the disk for every file's size and date.
    if not (getattr(samples, "remote", False) and isinstance(samples, Listed)):
        yield from (samples[index] for index in wanted)
        return
    with Journal(folder / JOURNAL) as journal:
        fetch_missing(samples, wanted, journal, lambda done: _now_and_then(done, len(wanted), report))
        yield from (journal[samples.items[index]] for index in wanted)


def _now_and_then(done: int, total: int, report: Report) -> None:
    if done % 100 == 0 or done == total:
        report(done, total, "object")


def evenly(count: int, wanted: int) -> Iterator[int]:
    """Yield ``wanted`` of ``count`` numbers at even distances: sources list one class after the other."""
    return (number * count // wanted for number in range(wanted))
