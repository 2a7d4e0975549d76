"""Files a step writes into its working folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from airlock.errors import AirlockError
from airlock.stores.objects import storage_error


@contextmanager
def written(target: Path) -> Iterator[Path]:
    """Write a file or leave none: on a full disk its space is given back, so that the step can still say so.

    :raises ResourceError: no space is left.
    :raises InfrastructureError: the folder cannot be written.
    """
    try:
        yield target
    except AirlockError:  # says already who must act; what was written so far can be resumed
        raise
    except OSError as error:
        target.unlink(missing_ok=True)
        raise storage_error(error, target) from error
