"""FCCAnalyses and k4MLJetTagger: the network alone, and the JSON by which their `WeaverInterface` prepares its inputs."""

import dataclasses

from cyclotrain.contract import Layout
from cyclotrain.core.errors import InputError
from cyclotrain.core.files import read_json
from cyclotrain.deploy.consumers.consumer import Consumer, Making


def _write(making: Making) -> None:
    content = read_json(making.files["fccanalyses_preprocess"])
    (features,) = making.contract.layout.sets.values()
    texts = (*features.features, *(features.four_vector or ()))
    names = (*content["pf_features"]["var_names"], *content["pf_vectors"]["var_names"])
    variables = [{"name": name, "text": text} for name, text in zip(names, texts, strict=True)]
    values = {"variables": variables, "scores": content["output_names"], "features": features}
    dataclasses.replace(making, values={**making.values, **values}).render()
    making.copy("fccanalyses_network", "network.onnx")
    making.copy("fccanalyses_preprocess", "preprocess.json")


def _check(layout: Layout) -> None:
    """WeaverInterface has the variables of one set of constituents, in the order of the caller, and nothing else."""
    advice = "or remove 'fccanalyses' from export.consumers"
    jagged = [name for name, features in layout.sets.items() if features.is_jagged]
    for name, features in layout.sets.items():
        if not features.is_jagged:
            raise InputError(
                f"export.consumers: 'fccanalyses' takes features of constituents only, and inputs.{name} has one value for each "
                f"example: use these numbers in features of constituents, such as log(pf_pt / jet_pt), {advice}"
            )
        if features.sort_by:
            raise InputError(
                f"export.consumers: 'fccanalyses' takes constituents in the order of the analysis, and inputs.{name} has "
                f"'sort_by': remove it, and let the analysis sort, {advice}"
            )
    if len(jagged) != 1:
        raise InputError(
            f"export.consumers: 'fccanalyses' takes one set of constituents, because WeaverInterface counts those of one set "
            f"only, and there are {len(jagged)} ({', '.join(jagged)}): put them into one set, {advice}"
        )


CONSUMER = Consumer(
    title="FCCAnalyses",
    purpose="FCCAnalyses, k4MLJetTagger: the network and the JSON for `WeaverInterface`, which prepares the features",
    check_it="[README](fccanalyses/README.md)",
    write=_write,
    check=_check,
)
