"""`tracking:`: MLflow."""

from pydantic import Field

from cyclotrain.config.base import Place, Section


class TrackingConfig(Section):
    """Where MLflow stores the run."""

    uri: Place = Field("sqlite:///results/mlflow.db", description="MLflow tracking URI: an SQLite file or a server.")
    experiment: str = Field("cyclotrain", description="MLflow experiment.")
