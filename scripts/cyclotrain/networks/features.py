"""The first layer of the model: raw branches to standardised features, by one module for training and for the ONNX graph."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from cyclotrain.contract import Layout, Set
from cyclotrain.expressions import Expression
from cyclotrain.expressions.functions import LARGEST, Backend, modulo
from cyclotrain.networks import four_vectors
from cyclotrain.networks.sets import SetModules


def _to_number(x: float | Tensor) -> float | Tensor:
    is_boolean = isinstance(x, Tensor) and x.dtype == torch.bool
    return x.to(torch.get_default_dtype()) if is_boolean else x  # type: ignore[union-attr]


def _is_condition(x: bool | float | Tensor) -> bool:
    return x.dtype == torch.bool if isinstance(x, Tensor) else isinstance(x, bool)


def _compare(compare: Callable[[Any, Any], Any], x: float | Tensor, y: float | Tensor) -> Any:
    x, y = (float(value) if isinstance(value, int) else value for value in (x, y))
    return compare(x, y)


TORCH: Backend = Backend(
    where=torch.where,
    number=_to_number,
    real=_to_number,
    is_condition=_is_condition,
    compare=_compare,
    remainder=lambda x, y: modulo(TORCH, x, y),
    elementary=torch,
)


def is_finite(x: Tensor) -> Tensor:
    """False for NaN and beyond ±LARGEST; two operations in ONNX, while torch.isfinite takes five."""
    return x.abs() <= LARGEST


def sort_key(features: Set, branches: Mapping[str, Tensor]) -> Tensor:
    """The key by which constituents are sorted, largest first: `sort_by`; padding and non-finite values come last."""
    assert features.sort_by and features.valid
    key = TORCH.number(Expression(features.sort_by)(branches, TORCH))
    is_real = Expression(features.valid)(branches, TORCH)
    # not -inf: ONNX Runtime's TopK on a GPU may then return any index (its issue 9843)
    return torch.where(is_real & is_finite(key), key, -2 * LARGEST)


def filled_up(x: Tensor, length: int) -> Tensor:
    """Fill up or cut the last axis to exactly `length`, with zeros (or False) at the end."""
    return functional.pad(x, (0, length))[..., :length]


class OfSet(NamedTuple):
    """One set: features [B, F], or [B, L, F] with mask [B, L] and, where the layout has them, four-vectors [B, L, 4]."""

    features: Tensor
    mask: Tensor | None = None
    vectors: Tensor | None = None


class Inputs(NamedTuple):
    """What a network gets, by set: the features, and of jagged sets the masks and the four-vectors."""

    features: dict[str, Tensor]
    masks: dict[str, Tensor]
    vectors: dict[str, Tensor]


class FeatureLayer(nn.Module):
    """Branches to features: expressions, the training mean for non-finite values, standardisation, clipping, zeros where masked.

    forward: from branches (scalars [B, 1], jagged branches [B, L]; float32, zero-padded) to the features of each set,
    [B, F] or [B, min(L, max_length), F], the masks [B, min(L, max_length)] of the jagged sets, and their four-vectors
    [B, min(L, max_length), 4] (pt, eta, phi, energy) where the layout has them. With `fixed_length`, all sets have the length
    max_length.
    """

    def __init__(self, layout: Layout, *, fixed_length: bool = False) -> None:
        super().__init__()
        self.sets = SetModules({name: _SetLayer(features, fixed_length) for name, features in layout.sets.items()})

    def forward(self, branches: Mapping[str, Tensor]) -> Inputs:
        """See the class."""
        features, masks, vectors = {}, {}, {}
        for name in self.sets.names:
            one: OfSet = self.sets[name](branches)
            features[name] = one.features
            if one.mask is not None:
                masks[name] = one.mask
            if one.vectors is not None:
                vectors[name] = one.vectors
        return Inputs(features, masks, vectors)

    def raw(self, branches: Mapping[str, Tensor], name: str) -> OfSet:
        """One set before standardisation and limits; `assemble` computes mean and std from it."""
        return cast(_SetLayer, self.sets[name]).raw(branches)


class _SetLayer(nn.Module):
    mean: Tensor
    inverse_std: Tensor

    def __init__(self, features: Set, fixed_length: bool) -> None:
        super().__init__()
        self._n_features = len(features.features)
        self._columns = list(map(Expression, (*features.features, *(features.four_vector or ()))))
        self._valid = Expression(features.valid) if features.valid else None
        self._set = features
        self._jagged = frozenset(features.branches)
        self._max_length, self._fixed_length = features.max_length, fixed_length
        self._clip = features.clip
        n = self._n_features
        self.register_buffer("mean", torch.tensor(features.mean or (0.0,) * n, dtype=torch.float32))
        self.register_buffer("inverse_std", 1 / torch.tensor(features.std or (1.0,) * n, dtype=torch.float32))
        self.bounded = four_vectors.Bounded() if features.four_vector else None
        if self._valid:
            padding = self._valid(dict.fromkeys(self._valid.inputs, torch.zeros(1, 1)), TORCH)
            if bool(padding.any()):
                raise ValueError(
                    f"valid: '{features.valid}' holds for zero padding too; it must be false where all branches are 0"
                )

    def raw(self, branches: Mapping[str, Tensor]) -> OfSet:
        mask: Tensor | None = self._valid(branches, TORCH) if self._valid else None
        n, length = (next(iter(branches.values())).shape[0], 1) if mask is None else mask.shape
        columns = []
        for expression in self._columns:
            value = expression(branches, TORCH)
            value = (value if isinstance(value, Tensor) else self.mean.new_full((1, 1), value)).to(self.mean.dtype)
            # expand only if needed: each operation in the graph costs time
            columns.append(value if self._has_full_shape(expression) else value.expand(n, length))
        x = torch.cat(columns, dim=1)
        if mask is None:
            return OfSet(x)
        # like torch.stack and a cut of each branch, but with two operations instead of one per column and branch
        x = x.view(n, len(columns), length)
        if self._set.sort_by:
            # not `stable=True`, which ONNX cannot express; on the CPU it is stable anyway
            order = torch.sort(sort_key(self._set, branches).expand(n, length), dim=1, descending=True).indices
            x, mask = x.gather(2, order.unsqueeze(1).expand_as(x)), mask.gather(1, order)
        if self._fixed_length and self._max_length:
            x, mask = filled_up(x, self._max_length), filled_up(mask, self._max_length)
        x, mask = x[:, :, : self._max_length].transpose(1, 2), mask[:, : self._max_length]
        if self.bounded is None:
            return OfSet(x, mask)
        return OfSet(x[..., : self._n_features], mask, x[..., self._n_features :])

    def _has_full_shape(self, expression: Expression) -> bool:
        """Whether an expression uses a branch with a value per constituent, or per example for a flat set."""
        return not self._jagged.isdisjoint(expression.inputs) if self._valid else bool(expression.inputs)

    def forward(self, branches: Mapping[str, Tensor]) -> OfSet:
        x, mask, vectors = self.raw(branches)
        x = torch.where(is_finite(x), x, self.mean)
        x = (x - self.mean) * self.inverse_std
        if self._clip is not None:
            x = torch.clamp(x, -self._clip, self._clip)
        if mask is None:
            return OfSet(x)
        x = torch.where(mask.unsqueeze(-1), x, 0.0)
        return OfSet(x, mask, self.bounded(vectors, mask) if self.bounded else None)


class Moments:
    """Mean and standard deviation of features over finite values, batch by batch, in float64 (Chan, Golub, LeVeque 1979)."""

    def __init__(self, n_features: int) -> None:
        self.count = torch.zeros(n_features, dtype=torch.float64)
        self.mean = torch.zeros(n_features, dtype=torch.float64)
        self.squares = torch.zeros(n_features, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """Add values [n, n_features]."""
        x = x.double()
        finite = is_finite(x)
        count = finite.sum(0)
        mean = torch.where(finite, x, 0.0).sum(0) / count.clamp(min=1)
        squares = torch.where(finite, (x - mean) ** 2, 0.0).sum(0)
        total = (self.count + count).clamp(min=1)
        delta = mean - self.mean
        self.squares += squares + delta**2 * self.count * count / total
        self.mean += delta * count / total
        self.count += count

    def fitted(self, features: Set) -> Set:
        """The set with mean and std filled in; a constant feature gets std 1.

        Raises ValueError for a feature that is never finite.
        """
        if (never := torch.nonzero(self.count == 0).flatten()).numel():
            raise ValueError(f"the feature '{features.features[int(never[0])]}' is NaN or infinite for every training example")
        if not features.standardise:
            return dataclasses.replace(features, mean=(0.0,) * len(self.count), std=(1.0,) * len(self.count))
        return dataclasses.replace(features, mean=tuple(self.mean.float().tolist()), std=tuple(self.std().float().tolist()))

    def std(self) -> Tensor:
        """The standard deviations [n_features] in float64; 1 for what is constant."""
        std = torch.sqrt(self.squares / self.count)
        return torch.where(std <= 1e-7 * self.mean.abs(), 1.0, std)
