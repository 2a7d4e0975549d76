"""What Airflow's provider manager asks for: connection types with their forms, links and configuration."""

from typing import Any

from airlock import __version__


def get_provider_info() -> dict[str, Any]:
    """Entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airlock",
        "name": "Airlock",
        "description": "The deep-learning lifecycle with role-gated approvals.",
        "versions": [__version__],
        "connection-types": [
            _connection("artifacts", "artifacts.ArtifactsHook", "Artifact store", "s3://bucket/prefix"),
            _connection("sealed", "sealed.SealedHook", "Sealed store of test data", "s3://bucket/prefix"),
            _connection(
                "database",
                "database.DatabaseHook",
                "Airlock database",
                "postgresql://user:password@host/airlock",
                secret=True,
            ),
            _connection("tracking", "tracking.TrackingHook", "MLflow tracking server", "https://mlflow.example.org"),
            _connection("serving", "serving.ServingHook", "Model server", "https://models.example.org"),
            _label_studio(),
        ],
        "extra-links": ["airlock.operators.links.StepLink"],
    }


def _connection(kind: str, hook: str, title: str, example: str, *, secret: bool = False) -> dict[str, Any]:
    form: dict[str, Any] = {"type": ["string", "null"]}
    return {
        "connection-type": f"airlock_{kind}",
        "hook-class-name": f"airlock.hooks.{hook}",
        "hook-name": title,
        "ui-field-behaviour": {
            "hidden-fields": ["host", "port", "schema", "login", "password", "extra"],
            "relabeling": {},
            "placeholders": {"uri": example},
        },
        "conn-fields": {"uri": {"label": "URI", "schema": form | ({"format": "password"} if secret else {})}},
    }


def _label_studio() -> dict[str, Any]:
    """The access token is the connection's password: Airflow masks it in logs and encrypts it."""
    made = _connection("label_studio", "label_studio.LabelStudioHook", "Label Studio", "https://labels.example.org")
    made["ui-field-behaviour"]["hidden-fields"].remove("password")
    made["ui-field-behaviour"]["relabeling"] = {"password": "Access token"}
    return made
