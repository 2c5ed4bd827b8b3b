"""`tracking:`: MLflow."""

from pydantic import Field, model_validator

from cyclotrain.config.base import Name, Place, Section


class TrackingConfig(Section):
    """Where MLflow stores the run."""

    uri: Place = Field("sqlite:///results/mlflow.db", description="MLflow tracking URI: an SQLite file or a server.")
    experiment: str = Field("cyclotrain", description="MLflow experiment.")
    live: bool = Field(
        False,
        description="Send the curves of the training to the server after each epoch, from where it trains. A server that is lost "
        "does no harm: the finished run is written at the end anyway.",
    )
    register_as: Name | None = Field(
        None,
        description="Name in MLflow's model registry: a model whose gates all passed becomes a version of it, with the alias "
        "`challenger`. `make promote` then makes it the `champion` if it beats the present one (docs/tracking.md).",
    )

    @model_validator(mode="after")
    def _live_needs_a_server(self) -> "TrackingConfig":
        if self.live and not self.uri.startswith(("http://", "https://")):
            raise ValueError(
                f"live: the store '{self.uri}' is not a server; give the address of one in 'tracking.uri' (http://...), or "
                "remove 'live', as curves are written at the end anyway"
            )
        return self
