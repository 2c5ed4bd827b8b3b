"""The built-in networks: what each takes, and its options. Their classes are in cyclotrain.networks, which needs PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from cyclotrain.config.base import Section

Need = Literal["needed", "optional", "none"]
Width = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class Takes:
    """What a network takes: sets of constituents, flat sets, and a four-vector for each constituent."""

    constituents: Need = "optional"
    flat: Need = "optional"
    four_vectors: Need = "none"


class NetworkOptions(Section):
    """The options of a built-in network, keyword arguments of its class. `presets`: values for `preset`, which others replace."""

    takes: ClassVar[Takes]
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "preset" not in values or not cls.presets:
            return values
        preset = values["preset"]
        if preset not in cls.presets:
            raise ValueError(f"there is no preset '{preset}'; there is: {', '.join(cls.presets)}")
        return {**cls.presets[preset], **{name: value for name, value in values.items() if name != "preset"}}


_Dropout = Annotated[float, Field(ge=0, lt=1, description="Share of values that are set to 0 at random in training.")]
_Normalise = Annotated[bool, Field(description="Layer normalisation in each dense layer, for deep ones.")]
_Residual = Annotated[
    bool, Field(description="Add the input of a layer to its output where both have the same width, for deep ones.")
]
_Head = Annotated[
    list[Width], Field(description="Widths of the dense layers behind the constituents; flat features enter there too.")
]
_Heads = Annotated[int, Field(ge=1, description="Attention heads of each block; they divide the width.")]
_Layers = Annotated[int, Field(ge=1, description="Blocks in which the constituents look at each other.")]
_ClassLayers = Annotated[int, Field(ge=1, description="Blocks in which one token collects the constituents.")]
_Expansion = Annotated[int, Field(ge=1, description="Width of the dense layers inside a block, in units of its own width.")]


class MLPOptions(NetworkOptions):
    """A multilayer perceptron on the features of all flat sets."""

    takes = Takes(constituents="none", flat="needed")

    hidden: list[Width] = Field([128, 128, 128], min_length=1, description="Widths of the layers.")
    dropout: _Dropout = 0.0
    normalise: _Normalise = False
    residual: _Residual = False


class DeepSetsOptions(NetworkOptions):
    """Deep Sets, in jet physics particle flow networks: the sum over the constituents of what a dense network makes of each."""

    takes = Takes(constituents="needed")

    phi: list[Width] = Field([100, 100, 128], min_length=1, description="Widths of the layers for each constituent.")
    rho: list[Width] = Field([100, 100], min_length=1, description="Widths of the layers behind the sum and the flat features.")
    dropout: _Dropout = 0.0
    normalise: _Normalise = False
    residual: _Residual = False


class TransformerOptions(NetworkOptions):
    """A transformer: constituents look at each other, and a class token collects them. No four-vectors are needed."""

    takes = Takes(constituents="needed")

    width: int = Field(64, ge=1, description="Numbers that stand for a constituent.")
    heads: _Heads = 4
    layers: _Layers = 3
    class_layers: _ClassLayers = 1
    registers: int = Field(2, ge=1, description="Learned tokens beside the constituents; flat features are added to them.")
    expansion: _Expansion = 2
    head: _Head = Field([128, 128])
    dropout: _Dropout = 0.0

    @model_validator(mode="after")
    def _heads_divide(self) -> "TransformerOptions":
        _require_division(self.width, self.heads, "'width'")
        return self


class ParticleTransformerOptions(NetworkOptions):
    """Particle Transformer: a transformer whose attention knows the masses and angles of all pairs of constituents."""

    takes = Takes(constituents="needed", four_vectors="needed")
    presets: ClassVar = {
        "published": {
            "embedding": [128, 512, 128], "heads": 8, "layers": 8, "class_layers": 2, "pair": [64, 64, 64], "expansion": 4,
            "head": [], "dropout": 0.1,
        }
    }  # fmt: skip

    preset: str | None = Field(None, description="`published`: the size of the publication, 2.1 million parameters.")
    embedding: list[Width] = Field([128, 64], min_length=1, description="Widths of the layers for each constituent.")
    heads: _Heads = 4
    layers: _Layers = 2
    class_layers: _ClassLayers = 1
    pair: list[Width] = Field([16], description="Widths of the layers for each pair of constituents.")
    expansion: _Expansion = 2
    head: _Head = Field([128, 128])
    dropout: _Dropout = 0.0

    @model_validator(mode="after")
    def _heads_divide(self) -> "ParticleTransformerOptions":
        _require_division(self.embedding[-1], self.heads, "the last width of 'embedding'")
        return self


class ParticleNetOptions(NetworkOptions):
    """ParticleNet: a graph network in which each constituent hears from its nearest neighbours in (eta, phi)."""

    takes = Takes(constituents="needed", four_vectors="needed")
    presets: ClassVar = {
        "published": {
            "neighbours": 16, "layers": [[64, 64, 64], [128, 128, 128], [256, 256, 256]], "pool": 256, "head": [256],
            "dropout": 0.1,
        }
    }  # fmt: skip

    preset: str | None = Field(None, description="`published`: the size of the publication.")
    neighbours: int = Field(8, ge=1, description="Nearest neighbours of a constituent.")
    layers: list[Annotated[list[Width], Field(min_length=2)]] = Field(
        [[32, 32, 32], [64, 64, 64]], min_length=1, description="Widths of the dense layers of each graph layer, two or more."
    )
    graph: Literal["coordinates", "features"] = Field(
        "coordinates",
        description="`coordinates`: neighbours are the nearest in (eta, phi), found once. `features`: each layer but the first "
        "finds them anew in its own features, as published.",
    )
    pool: int = Field(128, ge=1, description="Numbers of which the mean and the maximum over the constituents are taken.")
    head: _Head = Field([128, 128])
    dropout: _Dropout = 0.0


def _require_division(width: int, heads: int, what: str) -> None:
    if width % heads:
        raise ValueError(f"{what} is {width}, which 'heads' ({heads}) must divide")


BUILT_IN: Mapping[str, type[NetworkOptions]] = {
    "mlp": MLPOptions,
    "deep_sets": DeepSetsOptions,
    "transformer": TransformerOptions,
    "particle_transformer": ParticleTransformerOptions,
    "particle_net": ParticleNetOptions,
}
