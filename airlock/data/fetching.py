"""Fetching many objects: several at a time, each once, the rest of them after a kill."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from airlock.data.journal import Journal
from airlock.data.samples import Sample
from airlock.data.sources.source import Item, Listed
from airlock.errors import InfrastructureError

WORKERS = 8
WINDOW = 4 * WORKERS
TRIES = 3
PAUSE = 0.5
log = logging.getLogger(__name__)


def fetch_missing(samples: Listed, wanted: Sequence[int], journal: Journal, report: Callable[[int], None]) -> int:
    """Fetch what is wanted and not in the journal yet; return how many that were.

    :param report: called with the number of wanted samples that are in the journal.
    :raises InfrastructureError: an object could not be had in three tries; what was fetched is kept.
    """
    items: Sequence[Item] = samples.items
    missing = [index for index in wanted if items[index] not in journal]
    there = len(wanted) - len(missing)
    if there:
        log.info("%d of %d samples are here from an earlier try.", there, len(wanted))
    for done, (index, sample) in enumerate(_fetched(samples, missing), start=there + 1):
        journal.add(items[index], sample)
        report(done)
    return len(missing)


def _fetched(samples: Listed, missing: list[int]) -> Iterator[tuple[int, Sample]]:
    """Yield (number, sample) in order, at most ``WINDOW`` ahead: memory stays flat."""
    rest = iter(missing)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="fetch") as pool:
        running: list[tuple[int, Future[Sample]]] = []
        try:
            while True:
                ahead = islice(rest, WINDOW - len(running))
                running += [(index, pool.submit(_with_patience, samples, index)) for index in ahead]
                if not running:
                    return
                index, first = running.pop(0)
                yield index, first.result()
        finally:
            for _, future in running:
                future.cancel()


def _with_patience(samples: Listed, index: int) -> Sample:
    for number in range(1, TRIES):
        try:
            return samples[index]
        except InfrastructureError as error:
            log.warning("%s is tried again: %s", samples.items[index].name, error)
            time.sleep(PAUSE * 2**number)
    return samples[index]
