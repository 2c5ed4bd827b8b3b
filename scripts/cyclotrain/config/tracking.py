"""`tracking:`: MLflow."""

from pydantic import Field

from cyclotrain.config.base import Name, Place, Section


class TrackingConfig(Section):
    """Where MLflow stores the run."""

    uri: Place = Field("sqlite:///results/mlflow.db", description="MLflow tracking URI: an SQLite file or a server.")
    experiment: str = Field("cyclotrain", description="MLflow experiment.")
    register_as: Name | None = Field(
        None,
        description="Name in MLflow's model registry: a model whose gates all passed becomes a version of it, with the alias "
        "`challenger`. `make promote` then makes it the `champion` if it beats the present one (docs/tracking.md).",
    )
