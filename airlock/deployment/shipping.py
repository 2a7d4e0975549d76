"""Ships predictions from the spool to the scoring store, each exactly once, as often as it is tried.

A segment is inserted in one transaction and removed after it; a crash in between ships it again, and rows that are
there already are left alone. What the model's process wrote is believed about its predictions only: use case and
release are those of the folder that it was given.

``python -m airlock.deployment.shipping`` does it alone, beside a server in a pod.
"""

import logging
import sys
import threading
from pathlib import Path

from airlock.deployment.spool import Predicted, Segment, read_segment, segments
from airlock.digests import PREFIX, short
from airlock.errors import AirlockError, InfrastructureError, ResourceError, UserError
from airlock.settings import Settings, settings
from airlock.stores.artifacts import ArtifactStore, open_artifacts
from airlock.stores.database import open_database
from airlock.stores.scoring import Scored, Scoring, Told

LOG = logging.getLogger("airlock.shipping")
SPOOL = "predictions"
EVERY_SECONDS = 1.0
BAD = ".bad"


def server_arguments(settings: Settings, use_case: str, manifest: str) -> list[str]:
    """Return how a release's server on this machine is told where to leave its predictions, and its options."""
    folder = Path(settings.home) / SPOOL / use_case / manifest.removeprefix(PREFIX)
    return ["--spool", str(folder), *(["--options", settings.server] if settings.server else [])]


class Shipper:
    """Empties the spool of every use case on this machine.

    :param folder: holds ``<use case>/<release>/*.segment``.
    :param artifacts: takes the inputs that are kept.
    """

    def __init__(self, folder: Path, scoring: Scoring, artifacts: ArtifactStore) -> None:
        self.folder = folder
        self.scoring = scoring
        self.artifacts = artifacts
        self._away = False

    def run(self, stop: threading.Event) -> None:
        """Ship once a second until told to stop, and once more then."""
        while not stop.wait(EVERY_SECONDS):
            self.ship()
        self.ship()

    def ship(self) -> int:
        """Ship what is there; return how many rows were new. What cannot be shipped now stays."""
        added = 0
        for path in segments(self.folder):
            try:
                added += self._ship(path)
            except FileNotFoundError:  # another process ships too
                continue
            except (InfrastructureError, ResourceError) as error:
                if not self._away:
                    LOG.warning("predictions wait in %s: %s", self.folder, error)
                self._away = True
                return added
            self._away = False
        return added

    def _ship(self, path: Path) -> int:
        segment = read_segment(path)
        try:
            added = 0 if segment is None else self._add(path, segment)
        except UserError as error:
            LOG.warning("%s: %s", path.name, error)
            segment = None
        if segment is None:
            LOG.error("%s is no segment of predictions; it is kept as *%s", path, BAD)
            path.rename(path.with_suffix(BAD))
            return 0
        path.unlink()
        return added

    def _add(self, path: Path, segment: Segment) -> int:
        release = path.parent
        predictions = [self._scored(predicted) for predicted in segment.predictions]
        truths = [Told(id=t.id, prediction=t.prediction, truth=t.truth, time=t.time) for t in segment.truths]
        added = self.scoring.add(release.parent.name, PREFIX + release.name, predictions, truths)
        LOG.debug("%d predictions of %s", added, short(PREFIX + release.name))
        return added

    def _scored(self, predicted: Predicted) -> Scored:
        kept = predicted.payload
        payload = None if kept is None else self.artifacts.put(kept, predicted.media_type).digest
        return Scored(
            id=predicted.id,
            time=predicted.time,
            input=predicted.input,
            outputs=predicted.outputs,
            label=predicted.label,
            probability=predicted.probability,
            latency=predicted.latency,
            status=predicted.status,
            payload=payload,
        )


def build_shipper(settings: Settings) -> Shipper:
    """Wire a shipper to the stores."""
    scoring = Scoring(open_database(settings.database))
    return Shipper(Path(settings.home) / SPOOL, scoring, open_artifacts(settings.artifacts))


def main() -> int:
    """Ship until SIGTERM."""
    import signal

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        build_shipper(settings()).run(stop)
    except AirlockError as error:
        LOG.error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
