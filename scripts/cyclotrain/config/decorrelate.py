"""`training.decorrelate:`: a term of the loss that keeps the score independent of an observer."""

from typing import Literal

from pydantic import Field

from cyclotrain.config.base import Name, Section


class DecorrelateConfig(Section):
    """A term of the loss for a score that does not follow an observer, such as the mass, in background (docs/trust.md)."""

    observer: Name = Field(description="A name of `observers`; it need not be an input of the model.")
    method: Literal["distance_correlation"] = Field(
        "distance_correlation",
        description="`distance_correlation`: its square, of the observer and the probability of the signal, over the background "
        "examples of a batch (DisCo, arXiv:2001.05310).",
    )
    strength: float = Field(
        1.0, gt=0, description="Factor on this term, beside the cross-entropy: larger for less sculpting and a worse AUC."
    )
