"""The contract, which everything downstream of `assemble` reads, and what a model file says of itself."""

from cyclotrain.contract.contract import Contract, Flattening
from cyclotrain.contract.layout import Layout, Link, Set, is_of, mask_group

__all__ = ["Contract", "Flattening", "Layout", "Link", "Set", "is_of", "mask_group"]
