"""From an opened source to a Parquet file of samples."""

from collections.abc import Iterator
from pathlib import Path

from airlock.data.download import Report
from airlock.data.files import written
from airlock.data.samples import SampleWriter
from airlock.data.sources.source import Samples
from airlock.errors import SourceError

REPORT_EVERY = 5000


def write_samples(samples: Samples, target: Path, limit: int, report: Report) -> SampleWriter:
    """Copy samples to a Parquet file, each content once.

    :param limit: at most that many samples, taken evenly over the whole source; 0 for all.
    :param report: called with (samples so far, samples in all, ``"sample"``).
    :return: the closed writer, with its counts.
    :raises SourceError: the source holds no sample.
    """
    if not len(samples):
        raise SourceError(
            "The source is empty: it holds no sample.",
            hint="Check its location; the folders in it are the classes, hidden files are no samples.",
        )
    total = min(limit or len(samples), len(samples))
    with written(target), SampleWriter(target) as writer:
        for done, index in enumerate(evenly(len(samples), total), start=1):
            writer.add(samples[index])
            if done % REPORT_EVERY == 0 or done == total:
                report(done, total, "sample")
    return writer


def evenly(count: int, wanted: int) -> Iterator[int]:
    """Yield ``wanted`` of ``count`` numbers at even distances: sources list one class after the other."""
    return (number * count // wanted for number in range(wanted))
