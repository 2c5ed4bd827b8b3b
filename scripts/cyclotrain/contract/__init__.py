"""The contract, which everything downstream of `assemble` reads, and the metadata of a model file."""

from cyclotrain.contract.contract import OUTPUT, Contract, Flattening
from cyclotrain.contract.layout import Layout, Link, Set, belongs_to, mask_group, vectors_group

__all__ = ["OUTPUT", "Contract", "Flattening", "Layout", "Link", "Set", "belongs_to", "mask_group", "vectors_group"]
