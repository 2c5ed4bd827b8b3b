"""`report:`: what stands above the figures."""

from pydantic import Field

from cyclotrain.config.base import Section


class ReportConfig(Section):
    """The label of the experiment, in the style of mplhep, above every physics figure."""

    experiment: str | None = Field(
        None, description="`CMS`, `ATLAS`, `LHCb`, `ALICE` and `DUNE` have their own fonts; others, such as `Belle II`, work too."
    )
    status: str = Field("", description="Such as `Preliminary`. `Simulation` is added where a figure has no recorded data.")
    luminosity: float | None = Field(None, gt=0, description="Integrated luminosity in fb⁻¹.")
    energy: float | None = Field(None, gt=0, description="Centre-of-mass energy in TeV.")
