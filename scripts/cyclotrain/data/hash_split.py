"""Whether `event_id` tells the events of a sample apart: if not, its splits do not get the shares asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclotrain.contract.splits import ENTRY, chance_of_share
from cyclotrain.core.errors import InputError
from cyclotrain.data.shards import count_event_hashes
from cyclotrain.ingest.totals import ExamplesPerEntry

_CHANCE = 1e-6  # below this probability, a share is not chance
_HARMLESS = 0.005  # a share may be off by this much, whatever its probability


@dataclass(frozen=True)
class HashSplit:
    """How the hash of `event_id` divided a sample: the examples in each split, and the shares asked for."""

    sample: str
    event_id: Sequence[str]
    examples: Mapping[str, int]
    shares: Mapping[str, float]
    per_entry: ExamplesPerEntry
    shards: Sequence[str | Path]

    def check_shares(self) -> None:
        """Raise InputError if a share differs from the one asked for by more than chance, for events that are independent."""
        if not any(map(self._is_off, self.shares)):
            return
        total = sum(self.examples.values())
        found, asked = (
            ", ".join(f"{split} {100 * share:.1f} %" for split, share in shares.items())
            for shares in ({split: n / total for split, n in self.examples.items()}, self.shares)
        )
        problem = self._not_apart(count_event_hashes(self.shards))
        raise InputError(f"{problem}. Its splits get {found}, but should get {asked}. {self._advice()}")

    def few_values(self) -> str | None:
        """A sentence on the values of `event_id`, if there are fewer than one for two events."""
        values = count_event_hashes(self.shards)
        return f"{self._not_apart(values)}. {self._advice()}" if 2 * values < self.per_entry.entries else None

    def _is_off(self, split: str) -> bool:
        total, share = sum(self.examples.values()), self.shares[split]
        deviation = abs(self.examples[split] - share * total)
        if deviation <= _HARMLESS * total:
            return False
        per_entry = self.per_entry
        return chance_of_share(deviation, share, sum_of_squares=per_entry.sum_of_squares, most=per_entry.most) < _CHANCE

    def _not_apart(self, values: int) -> str:
        event_id = ENTRY if self.event_id == ENTRY else f"[{', '.join(self.event_id)}]"
        return (
            f"samples.{self.sample}: `event_id: {event_id}` does not tell events apart: it takes {values:,} different "
            f"value{'s' * (values != 1)} in {self.per_entry.entries:,} selected events"
        )

    def _advice(self) -> str:
        if self.event_id == ENTRY:
            return "Some of its files have the same UUID, so they are copies; list each file once, or branches in event_id"
        return (
            f"Add branches to event_id until its values differ from event to event, or write `event_id: {ENTRY}`: the file and "
            "the entry number then identify an event"
        )
