"""CMSSW's other way: a preprocess.json prepares the features that a tag info holds, and the ONNX file has only the network.

`btagbtvdeep::ParticleNetConstructor` reads the JSON, and `prepare` repeats its arithmetic, operation by operation
(RecoBTag/FeatureTools/src/deep_helpers.cc: catch_infs, center_norm_pad). A variable is a feature, named by its expression.
A set of constituents becomes two groups: its features, and `<set>_mask`, which is 1 where the set's `valid` holds. A third one,
`<set>_vectors`, holds the four-vectors, if the network takes them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cyclotrain.contract import Contract, Layout, mask_group, vectors_group
from cyclotrain.expressions.functions import LARGEST
from cyclotrain.networks import four_vectors
from cyclotrain.networks.features import FeatureLayer, Inputs, filled_up
from cyclotrain.networks.registry import Model, is_recurrent, run_network
from cyclotrain.networks.sets import SetModules


def preprocess_json(contract: Contract) -> dict[str, Any]:
    """The JSON of the file. All groups have a minimum and a maximum length: the forms with and without cannot be mixed."""
    layout = contract.layout
    groups: dict[str, Any] = {}
    for name, features in layout.sets.items():
        limit = LARGEST if features.clip is None else features.clip
        infos = {
            text: {
                "median": mean,
                # in float32, as in the graph; 1 / std in double precision differs in the last bit
                "norm_factor": float(np.float32(1) / np.float32(std)),
                "replace_inf_value": mean,
                "lower_bound": -limit,
                "upper_bound": limit,
                "pad": 0.0,
            }
            for text, mean, std in zip(features.features, features.mean, features.std, strict=True)
        }
        groups[name] = _group(infos, features.max_length or 1)
        if features.is_jagged:
            unchanged = {"median": 0.0, "norm_factor": 1.0, "replace_inf_value": 0.0}
            groups[mask_group(name)] = _group(
                {mask_group(name): {**unchanged, "lower_bound": 0.0, "upper_bound": 1.0, "pad": 0.0}}, features.max_length or 1
            )
        if features.four_vector:
            groups[vectors_group(name)] = _group(
                {
                    text: {
                        "median": 0.0, "norm_factor": 1.0, "replace_inf_value": padding, "lower_bound": low, "upper_bound": high,
                        "pad": padding,
                    }
                    for text, padding, low, high in zip(
                        features.four_vector, four_vectors.PADDING, four_vectors.SMALLEST, four_vectors.LARGEST, strict=True
                    )
                },
                features.max_length or 1,
            )  # fmt: skip
    return {"input_names": list(groups), "output_names": [output.name for output in contract.outputs], **groups}


def _group(infos: dict[str, Any], max_length: int) -> dict[str, Any]:
    return {"var_names": list(infos), "var_infos": infos, "min_length": 1, "max_length": max_length}


def preprocess_inputs(preprocess: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The input shapes of the exported network."""
    set_names = _set_names(preprocess)

    def length(group: str) -> Any:
        name = set_names.get(group, group)
        return name if mask_group(name) in preprocess else 1

    return {group: ["batch", len(preprocess[group]["var_names"]), length(group)] for group in preprocess["input_names"]}


def _set_names(preprocess: Mapping[str, Any]) -> dict[str, str]:
    """The set of each group that accompanies its features."""
    return {group(name): name for name in preprocess["input_names"] for group in (mask_group, vectors_group)}


class NetworkAlone(nn.Module):
    """The network without its features: from groups as `prepare` makes them to the outputs of the model."""

    def __init__(self, model: Model, layout: Layout) -> None:
        super().__init__()
        self.network, self.outputs = model.network, model.outputs
        self._lengths = {name: features.max_length for name, features in layout.sets.items()}
        self._fixed_length = is_recurrent(model.network)
        self._bounded = SetModules({name: four_vectors.Bounded() for name, one in layout.sets.items() if one.four_vector})

    def forward(self, groups: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """The outputs from groups: features [B, F, L], masks [B, 1, L] and four-vectors [B, 4, L] of jagged sets, features
        [B, F, 1] of others.
        """
        features, masks, vectors = {}, {}, {}
        for name, length in self._lengths.items():
            if length:
                x, mask = self._filled_up(groups[name], length), self._filled_up(groups[mask_group(name)], length)
                masks[name] = mask.squeeze(1) > 0.5
                features[name] = torch.where(masks[name].unsqueeze(-1), x.transpose(1, 2), 0.0)
                if name in self._bounded.names:
                    x = self._filled_up(groups[vectors_group(name)], length)
                    vectors[name] = self._bounded[name](x.transpose(1, 2), masks[name])
            else:
                features[name] = groups[name].squeeze(-1)
        answer: tuple[Tensor, ...] = self.outputs(run_network(self.network, Inputs(features, masks, vectors)))
        return answer

    def _filled_up(self, x: Tensor, length: int) -> Tensor:
        return filled_up(x, length) if self._fixed_length else x


def variables(layer: FeatureLayer, layout: Layout, branches: Mapping[str, Tensor]) -> dict[str, npt.NDArray[np.float32]]:
    """What the tag infos of the examples hold: the variables [B, V, L] of each group, before any preprocessing."""
    values = {}
    with torch.inference_mode():
        for name in layout.sets:
            x, mask, vectors = layer.raw(branches, name)
            values[name] = (x if mask is not None else x.unsqueeze(1)).transpose(1, 2).numpy()
            if mask is not None:
                values[mask_group(name)] = mask.unsqueeze(1).numpy().astype(np.float32)
            if vectors is not None:
                values[vectors_group(name)] = vectors.transpose(1, 2).numpy()
    return values


def prepare(preprocess: Mapping[str, Any], values: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[np.float32]]:
    """The network's inputs [B, V, length], from a preprocess.json and the variables [B, V, L] of `variables`.

    In CMSSW a vector holds only the constituents of its example. Here these are the constituents up to the last one for which
    the mask holds, and all behind it is padded.
    """
    set_names = _set_names(preprocess)
    inputs = {}
    for group in preprocess["input_names"]:
        settings, x = preprocess[group], values[group]
        infos = [settings["var_infos"][name] for name in settings["var_names"]]
        mask = values.get(mask_group(set_names.get(group, group)))
        slots = np.arange(x.shape[2])
        size = np.ones(len(x), int) if mask is None else ((slots + 1) * (mask[:, 0] > 0)).max(axis=1, initial=0)
        length = int(np.clip(size.max(initial=0), settings["min_length"], settings["max_length"]))
        x = x[:, :, :length]
        # catch_infs; the comparison is false for NaN
        caught = np.where(np.abs(x) <= np.float32(LARGEST), x, column(infos, "replace_inf_value"))
        with np.errstate(over="ignore"):
            scaled = (caught - column(infos, "median")) * column(infos, "norm_factor")
        scaled = np.clip(scaled, column(infos, "lower_bound"), column(infos, "upper_bound"))
        inputs[group] = np.where(slots[:length] < size[:, None, None], scaled, column(infos, "pad"))
    return inputs


def column(infos: Sequence[Mapping[str, float]], key: str) -> npt.NDArray[np.float32]:
    """A setting of all variables of a group, [V, 1]."""
    return np.array([info[key] for info in infos], np.float32)[:, None]
