"""The contract, which everything downstream of `assemble` reads, and the metadata of a model file."""

from cyclotrain.contract.contract import ALL, Contract, Flattening
from cyclotrain.contract.layout import Layout, Link, Observer, Set, belongs_to, mask_group, vectors_group
from cyclotrain.contract.outputs import OUTPUT, Output, Quantity, quantity_columns

__all__ = [
    "ALL", "OUTPUT", "Contract", "Flattening", "Layout", "Link", "Observer", "Output", "Quantity", "Set", "belongs_to",
    "mask_group", "quantity_columns", "vectors_group",
]  # fmt: skip
