"""The trial of a network before its training: what would fail after it is told in the network's terms, with the line."""

import inspect
from typing import Any

import pytest

from cyclotrain.contract import Contract
from cyclotrain.core.errors import InputError
from cyclotrain.export import trial
from cyclotrain.export.to_torch import model_to_torchscript
from cyclotrain.export.trial import try_network
from cyclotrain.networks.registry import Outputs
from support import networks
from support.trained import Trained


def attempt(trained: Trained, network: type, **export: Any) -> None:
    config = trained.config
    model = config.model.model_copy(update={"name": f"support.networks:{network.__name__}", "options": {}})
    deployment = config.export.model_copy(update=export)
    try_network(trained.contract, trained.shards, model=model, export=deployment, tolerance=1e-5)


@pytest.mark.parametrize("network", [networks.Recurrent, networks.Elman, networks.LongShortTerm, networks.Transformer])
def test_layers_of_pytorch_work_as_they_are_by_default(network: type, trained: Trained) -> None:
    attempt(trained, network, preprocess_json=network is networks.LongShortTerm)


@pytest.mark.parametrize(
    ("network", "line", "message"),
    [
        (networks.NoOnnx, 'waves = torch.special.bessel_j0(features["pf"])', "ONNX has no operation prims.bessel_j0; write"),
        (networks.DecidesOnValues, "if x.mean() > 0.1:", "Python decides here on the values of a tensor; write torch.where"),
        (networks.FailsWhenMade, 'self.extra = nn.Linear(sets["tracks"].n_features, 3)', "KeyError: 'tracks'"),
        (networks.OtherShape, "return x.transpose(1, 2) @ self.out.weight", "RuntimeError: mat1 and mat2 shapes cannot be"),
    ],
)
def test_the_line_of_the_network_is_named(network: type, line: str, message: str, trained: Trained) -> None:
    with pytest.raises(InputError) as error:
        attempt(trained, network)
    text, file = str(error.value), networks.__file__
    number = next(n for n, code in enumerate(inspect.getsource(networks).splitlines(), 1) if code.strip() == line)
    assert f"in line {number} of {file}, `{line}`: " in text
    assert message in text
    assert "\n" not in text and len(text) < 600


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (networks.OneOutput, "gives [64, 1] for 64 examples, and must give [64, 2]: one logit per class"),
        (networks.SumsClasses, "gives [] for 64 examples, and must give [64, 2]"),
        (networks.Lazy, "has a lazy layer, 'out' (LazyLinear); give it its number of inputs"),
        (networks.MaximumOfNothing, "gives NaN or infinity where set 'pf' is empty; for an empty set all of its mask is false"),
        (networks.HiddenDivisionByZero, "has a gradient that is NaN or infinite where set 'pf' is empty, at the weight 'out."),
        (networks.NoWeights, "has no weight that the loss depends on, so it cannot be trained"),
        (networks.LoopsOverConstituents, "for sets of one constituent"),
        (networks.CountsPadding, "gives other answers, by "),
        (networks.Noisy, "gives other answers after the export, by "),
    ],
)
def test_what_would_fail_after_the_training_is_told_before(network: type, message: str, trained: Trained) -> None:
    with pytest.raises(InputError, match=f"^model.name: the network 'support.networks:{network.__name__}' ") as error:
        attempt(trained, network)
    assert message in str(error.value)


def test_an_operation_that_a_target_is_too_old_for_is_told_with_the_target(trained: Trained) -> None:
    with pytest.raises(InputError, match=r"export.targets: CMSSW_12_4_X loads opset 15 at most, and .*LayerNormalization"):
        attempt(trained, networks.Transformer, targets=["CMSSW_12_4_X", "CMSSW_15_0_X"])


@pytest.mark.parametrize("network", [networks.LongShortTerm, networks.Transformer])
def test_layers_of_pytorch_are_tried_for_libtorch_too(network: type, trained: Trained) -> None:
    attempt(trained, network, consumers=["torchscript", "aot_inductor"])


def test_without_a_compiler_a_model_that_must_be_compiled_is_told_before_the_training(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        InputError, match=r"'aot_inductor' compiles the model, but this machine has no C\+\+ compiler 'no-such-comp"
    ):
        attempt(trained, networks.Transformer, consumers=["aot_inductor"])


def test_a_network_whose_trace_is_wrong_is_told_before_the_training(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_inputs_in_another_order(outputs: Outputs, contract: Contract) -> Any:
        traced = model_to_torchscript(outputs, contract)
        return lambda *values: traced(*reversed(values))

    monkeypatch.setattr(trial, "model_to_torchscript", with_inputs_in_another_order)
    with pytest.raises(InputError, match=r"Transformer' (gives other answers|cannot run) as TorchScript"):
        attempt(trained, networks.Transformer, consumers=["torchscript"])
