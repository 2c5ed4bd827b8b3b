"""Examples with other values of branches."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cyclotrain.contract import Layout
from cyclotrain.data.shards import Examples
from cyclotrain.expressions import Expression
from cyclotrain.ingest.columns import column, evaluate

Column = npt.NDArray[np.float32]


def with_branches(examples: Examples, layout: Layout, expressions: Mapping[str, str], *, where: str) -> Examples:
    """The examples with some inputs of the model replaced by expressions, all of which use the values from before.

    Observers stay as they are, and so do the number and the order of the constituents. Raises ExpressionError, which names
    `where` in the config, for an expression that cannot be computed.
    """
    scalars = dict(zip(layout.scalars, examples.scalars.T, strict=True))
    new_scalars, new_sets = examples.scalars.copy(), dict(examples.sets)
    for name, (values, offsets) in examples.sets.items():
        own = layout.sets[name].branches
        varied = [branch for branch in own if branch in expressions]
        if varied:
            changed, counts = values.copy(), np.diff(offsets)
            known: dict[str, Column] = dict(zip(own, values.T, strict=True))
            needed = {used for branch in varied for used in Expression(expressions[branch]).inputs} - known.keys()
            known |= {branch: np.repeat(scalars[branch], counts) for branch in needed}
            for branch in varied:
                changed[:, own.index(branch)] = _computed(expressions[branch], known, len(values), where=f"{where}.{branch}")
            new_sets[name] = changed, offsets
    for branch in (branch for branch in layout.scalars if branch in expressions):
        text = expressions[branch]
        new_scalars[:, layout.scalars.index(branch)] = _computed(text, scalars, len(examples), where=f"{where}.{branch}")
    return dataclasses.replace(examples, scalars=new_scalars, sets=new_sets)


def _computed(text: str, values: Mapping[str, Column], n: int, *, where: str) -> Column:
    with np.errstate(over="ignore"):  # beyond the range of float32: infinity, as in the graph
        return column(evaluate(Expression(text), values, key=text, where=where), n).astype(np.float32)
