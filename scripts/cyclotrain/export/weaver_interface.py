"""FCCAnalyses and k4MLJetTagger: their `WeaverInterface` prepares features by a JSON, and the ONNX file has only the network.

`prepare` repeats its arithmetic, operation by operation (HEP-FCC/FCCAnalyses, addons/ONNXRuntime/src/WeaverInterface.cc, and
key4hep/k4MLJetTagger, k4MLJetTagger/src/components/WeaverInterface.cpp: WeaverInterface, center_norm_pad, run). The variables are
those of one set of constituents. Their names become columns of an RDataFrame, so each is an identifier.
"""

import itertools
import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cyclotrain.contract import Contract, Layout, mask_group, vectors_group
from cyclotrain.export.cmssw_preprocess import NetworkAlone, column, preprocess_json
from cyclotrain.expressions.functions import LARGEST
from cyclotrain.networks.features import FeatureLayer
from cyclotrain.networks.registry import Model

# the groups that JetFlavourHelper of FCCAnalyses and JetTagger of k4MLJetTagger know
FEATURES, VECTORS, MASK = "pf_features", "pf_vectors", "pf_mask"
MASK_VARIABLE = "pfcand_mask"  # versions of the interface know it by this name or by its `_mask`
CONSTITUENTS = "constituents"  # the axis of the exported network


class Constituents(NamedTuple):
    """What the caller of `WeaverInterface::run` hands over: the values [B, L] of each variable, and how many [B] are there."""

    values: dict[str, npt.NDArray[np.float32]]
    n: npt.NDArray[np.int64]


def weaver_json(contract: Contract) -> dict[str, Any]:
    """The JSON of the file. Its groups have `var_length`, since the interface throws for any other length.

    Differs from a preprocess.json of CMSSW in the names and the lengths, not in the numbers.
    """
    ((name, features),) = contract.layout.sets.items()
    ours, names = preprocess_json(contract), {**variable_names(contract.layout), mask_group(name): MASK_VARIABLE}
    content: dict[str, Any] = {}
    for group, own in _groups(name).items():
        infos = {names[text]: info for text, info in ours[group]["var_infos"].items()} if group in ours else {}
        content[own] = {"var_names": list(infos), "var_infos": infos, "var_length": features.max_length}
    inputs = [own for own in content if content[own]["var_names"]]
    return {"input_names": inputs, "output_names": list(_identifiers(contract.columns).values()), **content}


def _groups(name: str) -> dict[str, str]:
    """The groups of a preprocess.json of CMSSW, by what they are called here."""
    return {name: FEATURES, vectors_group(name): VECTORS, mask_group(name): MASK}


def variable_names(layout: Layout) -> dict[str, str]:
    """The name of each feature, and of each component of the four-vectors. A feature that is a branch keeps its name."""
    (features,) = layout.sets.values()
    return _identifiers((*features.features, *(features.four_vector or ())))


def _identifiers(texts: Iterable[str]) -> dict[str, str]:
    """For each text an identifier, no two alike."""
    derived = {text: _identifier(text) for text in texts}
    names: dict[str, str] = {}
    for text in sorted(derived, key=lambda text: text != derived[text]):
        candidates = itertools.chain([derived[text]], (f"{derived[text]}_{number}" for number in itertools.count(2)))
        names[text] = next(name for name in candidates if name not in names.values())
    return {text: names[text] for text in derived}


def _identifier(text: str) -> str:
    """`log(pf_pt / jet_pt)` to `log_pf_pt_jet_pt`. The interface fills variables with `_mask` in their names by itself."""
    words = re.sub(r"[^0-9A-Za-z_]+", "_", text).strip("_") if not (text.isascii() and text.isidentifier()) else text
    words = words.replace("_mask", "mask")
    return words if words.isidentifier() and not keyword.iskeyword(words) else f"feature_{words}"


class WeaverNetwork(nn.Module):
    """The network without its features: from the groups of `weaver_json` to all outputs side by side [B, columns], because the
    interface reads the first output only.
    """

    def __init__(self, model: Model, layout: Layout) -> None:
        super().__init__()
        (name,) = layout.sets
        self._network, self._groups = NetworkAlone(model, layout), _groups(name)

    def forward(self, groups: Mapping[str, Tensor]) -> Tensor:
        """From features [B, F, L], mask [B, 1, L] and four-vectors [B, 4, L]."""
        outputs = self._network({ours: groups[own] for ours, own in self._groups.items() if own in groups})
        return torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]


def network_inputs(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The input shapes of the exported network."""
    return {group: ["batch", len(content[group]["var_names"]), CONSTITUENTS] for group in content["input_names"]}


def variables(layer: FeatureLayer, layout: Layout, branches: Mapping[str, Tensor]) -> Constituents:
    """What a caller hands over for some examples, as the README of the bundle says.

    These are, of the first `max_length` constituents, those for which `valid` holds. Numbers beyond ±LARGEST are infinite.
    """
    (name,) = layout.sets
    with torch.inference_mode():
        features, mask, vectors = layer.raw(branches, name)
        assert mask is not None
        parts = [features] if vectors is None else [features, vectors]
        x_BLV, mask_BL = torch.cat(parts, dim=2).numpy(), mask.numpy()
    first = np.argsort(~mask_BL, axis=1, kind="stable")
    x_BLV = np.take_along_axis(x_BLV, first[..., None], axis=1)
    x_BLV = np.where(np.abs(x_BLV) > np.float32(LARGEST), np.copysign(np.float32(np.inf), x_BLV), x_BLV)
    one = layout.sets[name]
    names = variable_names(layout)
    texts = (*one.features, *(one.four_vector or ()))
    return Constituents({names[text]: x_BLV[..., i] for i, text in enumerate(texts)}, mask_BL.sum(axis=1))


def prepare(content: Mapping[str, Any], given: Constituents) -> dict[str, npt.NDArray[np.float32]]:
    """The network's inputs [B, V, var_length] as `WeaverInterface::run` makes them.

    Raises ValueError where the interface throws: without `var_length`, and for a padding that is not within the limits.
    """
    inputs = {}
    for group in content["input_names"]:
        settings = content[group]
        if "var_length" not in settings:
            raise ValueError(f"{group}: without 'var_length' WeaverInterface expects another number of values than it makes")
        names, length = settings["var_names"], settings["var_length"]
        infos = [settings["var_infos"][name] for name in names]
        lower, upper, pad = (column(infos, key) for key in ("lower_bound", "upper_bound", "pad"))
        if not ((lower <= pad) & (pad <= upper)).all():
            raise ValueError(f"{group}: WeaverInterface takes no 'pad' that is not within the bounds")
        ones = np.ones_like(next(iter(given.values.values())))
        x = np.stack([ones if "_mask" in name else given.values[name] for name in names], axis=1)[..., :length]
        x = np.pad(x, ((0, 0), (0, 0), (0, length - x.shape[2])))
        caught = np.where(np.isfinite(x), x, column(infos, "replace_inf_value"))
        with np.errstate(over="ignore"):
            scaled = (caught - column(infos, "median")) * column(infos, "norm_factor")
        is_there = np.arange(length) < given.n[:, None, None]
        inputs[group] = np.where(is_there, np.clip(scaled, lower, upper), pad)
    return inputs
