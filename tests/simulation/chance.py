"""What a seed decides: by a hash of the seed and of names, so that nothing depends on when it is asked."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

Option = TypeVar("Option")

_DIGEST_BYTES = 8
_SWARM_FACTORS = (0, 1, 1, 4)


class Chance:
    """The decisions of one seed: the same names always give the same one."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def draw(self, *names: object) -> float:
        """A number from 0 (inclusive) to 1 (exclusive)."""
        text = "/".join(map(str, (self._seed, *names)))
        digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
        return float(int.from_bytes(digest) >> 11) / float(1 << 53)

    def happens(self, probability: float, *names: object) -> bool:
        """Whether something of this probability happens."""
        return self.draw(*names) < probability

    def between(self, low: int, high: int, *names: object) -> int:
        """A whole number from `low` to `high`, both inclusive."""
        return low + int(self.draw(*names) * (high - low + 1))

    def pick(self, options: Sequence[Option], *names: object) -> Option:
        """One of the options."""
        return options[int(self.draw(*names) * len(options))]

    def weighted(self, weight_by_option: Mapping[Option, int], *names: object) -> Option:
        """One of the options, each as often as its weight says."""
        left = self.draw(*names) * sum(weight_by_option.values())
        for option, weight in weight_by_option.items():
            left -= weight
            if left < 0:
                return option
        raise ValueError(f"No weight of {weight_by_option} is over zero.")

    def swarmed(self, weight_by_option: Mapping[Option, int], *names: object) -> dict[Option, int]:
        """The weights with some of them, by the seed, left out or made heavy; the first option stays.

        Seeds that differ in what they do find more than seeds that all do a little of everything.
        """
        first = next(iter(weight_by_option))
        return {
            option: weight * (1 if option == first else self.pick(_SWARM_FACTORS, "swarm", *names, option))
            for option, weight in weight_by_option.items()
        }
