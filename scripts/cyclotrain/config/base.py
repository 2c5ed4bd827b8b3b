"""The types and the base class that all sections of the configuration use."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from cyclotrain.expressions import Expression


class ConfigError(ValueError):
    """The configuration cannot be used; the message names each wrong key and how to correct it."""


def _expression(text: str) -> str:
    Expression(text)
    return text


def _feature(text: str) -> str:
    Expression(text).check_in_graph()
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text):
        raise ValueError("a name starts with a letter and has only letters, digits, '_' and '-', because it becomes a file name")
    return text


def _without_secret(text: str) -> str:
    if re.search(r"://[^/@]*:[^/@]*@|[?&](authz|access_token)=", text):
        raise ValueError(
            "contains a password or token, but the configuration is copied to logs, reports and MLflow; remove it, and instead "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, X509_USER_PROXY or BEARER_TOKEN_FILE in the environment"
        )
    return text


ExpressionText = Annotated[str, AfterValidator(_expression)]
FeatureText = Annotated[str, AfterValidator(_feature)]
Place = Annotated[str, AfterValidator(_without_secret)]
Name = Annotated[str, AfterValidator(_name)]


class Section(BaseModel):
    """A section of the configuration: it refuses unknown keys and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
