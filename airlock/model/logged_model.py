"""Logs a trained model to MLflow in MLflow's own format, so that ``models:/NAME@champion`` loads anywhere."""

from collections.abc import Mapping
from importlib import metadata
from typing import Any

from airlock.model.names import LOGGED_MODEL
from airlock.model.tensors import Split
from airlock.model.tracking import TrackedRun

PACKAGES = ("keras", "numpy")


def log_model(run: TrackedRun, model: Any, example: Split, tags: Mapping[str, str]) -> None:
    """Log a Keras model with its signature, then name it in the run's tags.

    :param example: samples that the signature is taken from.
    :param tags: set on the model and on the run.
    """
    import keras
    import mlflow
    from mlflow.models import infer_signature

    x = example.x[:2]
    mlflow.set_tracking_uri(run.tracking.url)
    with run.tracking.errors(), mlflow.start_run(run_id=run.reference.run_id):
        logged = mlflow.keras.log_model(
            model,
            name="model",
            signature=infer_signature(x, model.predict_on_batch(x)),
            # Without a list MLflow imports TensorFlow once more to guess one: half a minute.
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in (*PACKAGES, keras.backend.backend())],
            tags=dict(tags),
        )
    run.tags({LOGGED_MODEL: logged.model_id, **tags})
