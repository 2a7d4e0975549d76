"""Checks references against the stores: does what they name exist, and is it what its digest says?"""

from collections.abc import Iterator
from typing import Any

import msgspec

from airlock.errors import InfrastructureError, IntegrityError
from airlock.references import AnyReference, Artifact, DatasetVersion, LabelSet, ModelVersion, TrackingRun
from airlock.settings import Settings
from airlock.stores.layers import open_layers


def references(value: Any) -> Iterator[AnyReference]:
    """Yield every reference in a structure of plain dicts and lists."""
    if isinstance(value, dict):
        if "ref" in value:
            yield msgspec.convert(value, AnyReference)
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


class Verifier:
    """Verifies references of every kind.

    :param settings: where the stores are.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def verify_all(self, outputs: dict[str, Any]) -> None:
        """Verify every reference in a step's outputs.

        :raises IntegrityError: something is missing or altered.
        """
        for reference in references(outputs):
            self.verify(reference)

    def verify(self, reference: AnyReference) -> None:
        """Verify one reference."""
        match reference:
            case Artifact():
                open_layers(self.settings).verify(reference)
            case DatasetVersion():
                from airlock.stores.datasets import open_datasets

                open_datasets(self.settings.datasets).verify(reference)
            case LabelSet():
                from airlock.stores.database import open_database
                from airlock.stores.labels import LabelStore

                LabelStore(open_database(self.settings.database)).verify(reference)
            case TrackingRun():
                self._tracked("runs/get", {"run_id": reference.run_id}, f"MLflow run {reference.run_id}")
            case ModelVersion():
                query = {"name": reference.name, "version": reference.version}
                self._tracked("model-versions/get", query, f"model {reference.name} version {reference.version}")

    def _tracked(self, path: str, query: dict[str, str], what: str) -> None:
        import httpx

        try:
            reply = httpx.get(f"{self.settings.tracking}/api/2.0/mlflow/{path}", params=query, timeout=30)
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"The tracking server {self.settings.tracking} does not answer: {error}.", hint="See `airlock status`."
            ) from error
        if reply.status_code == 404:
            raise IntegrityError(f"{what} is not in the tracking server.", hint="Run its step again with cache=False.")
        if reply.is_error:
            raise InfrastructureError(f"The tracking server answered {reply.status_code} for {what}.")
