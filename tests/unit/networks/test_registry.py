"""Built-in networks: their options, and what no network may do with padding, order and empty sets."""

import inspect

import pytest
import torch

from cyclotrain.config import ModelConfig
from cyclotrain.config.networks import BUILT_IN as OPTIONS
from cyclotrain.networks.features import Inputs
from cyclotrain.networks.four_vectors import PADDING
from cyclotrain.networks.registry import BUILT_IN, run_network
from cyclotrain.networks.shapes import SetShape

SETS = {"jet": SetShape(3, False), "pf": SetShape(4, True), "sv": SetShape(2, True), "event": SetShape(1, False)}
WITH_CONSTITUENTS = [name for name, section in OPTIONS.items() if section.takes.constituents == "needed"]
SMALL = {
    "deep_sets": {"phi": [8, 8], "rho": [8]},
    "transformer": {"width": 8, "heads": 2, "layers": 2, "head": [8]},
    "particle_transformer": {"embedding": [8, 8], "heads": 2, "pair": [4], "head": [8]},
    "particle_net": {"neighbours": 2, "layers": [[8, 8], [8, 8]], "pool": 8, "head": [8]},
}
VARIANTS = [
    *((name, {}) for name in WITH_CONSTITUENTS),
    ("particle_net", {"graph": "features"}),
    ("deep_sets", {"normalise": True, "residual": True}),
]


def network(name: str, names: list[str], **options: object) -> torch.nn.Module:
    """A small network for the sets `names`, in evaluation mode."""
    torch.manual_seed(1)
    model = ModelConfig(name=name, options={**SMALL.get(name, {}), **options})
    return BUILT_IN[name]({key: SETS[key] for key in names}, 3, **model.options).eval()


def inputs(names: list[str], n: int = 6, length: int = 5) -> Inputs:
    """Examples with 0, 1, 2, ... constituents in each jagged set."""
    torch.manual_seed(2)
    examples = Inputs({}, {}, {})
    for key in names:
        if not SETS[key].is_jagged:
            examples.features[key] = torch.randn(n, SETS[key].n_features)
            continue
        mask = torch.arange(length) < torch.arange(n)[:, None]
        vectors = torch.stack([20 * torch.rand(n, length) + 1, *torch.randn(2, n, length), 50 * torch.rand(n, length) + 1], -1)
        examples.masks[key] = mask
        examples.features[key] = torch.where(mask.unsqueeze(-1), torch.randn(n, length, SETS[key].n_features), 0.0)
        examples.vectors[key] = torch.where(mask.unsqueeze(-1), vectors, torch.tensor(PADDING))
    return examples


def changed(x: Inputs, change: object) -> Inputs:
    """The inputs with a function of (tensor, fill) on everything that belongs to constituents."""
    features = {key: change(value, 0.0) if key in x.masks else value for key, value in x.features.items()}
    return Inputs(
        features,
        {key: change(value, False) for key, value in x.masks.items()},
        {key: change(value, torch.tensor(PADDING)) for key, value in x.vectors.items()},
    )


def test_the_config_knows_every_built_in_network_and_its_options() -> None:
    assert set(OPTIONS) == set(BUILT_IN), "add it to BUILT_IN in scripts/cyclotrain/config/networks.py"
    for name, section in OPTIONS.items():
        parameters = inspect.signature(BUILT_IN[name]).parameters
        options = {key for key, parameter in parameters.items() if parameter.kind is inspect.Parameter.KEYWORD_ONLY}
        assert options == set(section.model_fields) - {"preset"}, name
        takes_vectors = "vectors" in inspect.signature(BUILT_IN[name].forward).parameters
        assert takes_vectors == (section.takes.four_vectors != "none"), name


def test_a_network_of_flat_features_gives_an_output_for_each_example() -> None:
    assert run_network(network("mlp", ["jet", "event"]), inputs(["jet", "event"])).shape == (6, 3)


@pytest.mark.parametrize("names", [["pf"], ["jet", "pf"], ["pf", "sv"], ["jet", "pf", "sv", "event"]], ids="+".join)
@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_padding_changes_nothing_and_an_empty_set_has_an_answer(name: str, options: dict[str, str], names: list[str]) -> None:
    model, x = network(name, names, **options), inputs(names)
    answer = run_network(model, x)
    assert answer.shape == (6, 3) and torch.isfinite(answer).all()

    def longer(value: torch.Tensor, fill: object) -> torch.Tensor:
        more = torch.zeros_like(value[:, :1]).expand(-1, 3, *value.shape[2:]).clone()
        return torch.cat((value, more if fill is False else more + fill), 1)

    torch.testing.assert_close(run_network(model, changed(x, longer)), answer, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_a_masked_constituent_has_no_effect(name: str, options: dict[str, str]) -> None:
    model, x = network(name, ["pf"], **options), inputs(["pf"])
    mask = x.masks["pf"].unsqueeze(-1)
    other = Inputs({"pf": torch.where(mask, x.features["pf"], 3.0)}, x.masks, {"pf": torch.where(mask, x.vectors["pf"], 1.0)})
    torch.testing.assert_close(run_network(model, other), run_network(model, x), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_each_constituent_counts_and_their_order_does_not(name: str, options: dict[str, str]) -> None:
    model, x = network(name, ["pf", "sv"], **options), inputs(["pf", "sv"])
    torch.testing.assert_close(
        run_network(model, changed(x, lambda value, _: value.flip(1))), run_network(model, x), rtol=0, atol=2e-6
    )
    for key in ("pf", "sv"):
        moved = x._replace(features={**x.features, key: x.features[key] + x.masks[key].unsqueeze(-1)})
        assert (run_network(model, moved) - run_network(model, x)).abs().amax(1)[1:].min() > 1e-4


@pytest.mark.parametrize("name", ["particle_transformer", "particle_net"])
def test_four_vectors_count_and_a_turn_of_the_detector_does_not(name: str) -> None:
    model, x = network(name, ["pf"]), inputs(["pf"], length=6)
    turned = x.vectors["pf"].clone()
    turned[..., 2] += torch.where(x.masks["pf"], 5.0, 0.0)  # some azimuths now differ by more than pi
    torch.testing.assert_close(run_network(model, x._replace(vectors={"pf": turned})), run_network(model, x), rtol=0, atol=1e-5)
    moved = x.vectors["pf"].clone()
    moved[:, 0, 1] += 2.0
    assert (run_network(model, x._replace(vectors={"pf": moved})) - run_network(model, x)).abs().amax(1)[4:].min() > 1e-5


@pytest.mark.parametrize("name", WITH_CONSTITUENTS)
def test_every_weight_has_a_gradient_also_with_empty_sets(name: str) -> None:
    model, x = network(name, ["jet", "pf"]).train(), inputs(["jet", "pf"])
    run_network(model, x).square().sum().backward()
    gradients = {key: value.grad for key, value in model.named_parameters()}
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients.values())
    assert all(gradient.abs().max() > 0 for gradient in gradients.values() if gradient is not None)


def test_a_preset_can_be_changed_and_is_written_out() -> None:
    options = ModelConfig(name="particle_transformer", options={"preset": "published", "layers": 4}).options
    assert options["layers"] == 4 and options["embedding"] == [128, 512, 128] and "preset" not in options
    model = BUILT_IN["particle_transformer"]({"pf": SetShape(17, True)}, 10, **{**options, "layers": 8})
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(2.14e6, rel=0.02)  # Qu, Li, Qian 2022, table 3
