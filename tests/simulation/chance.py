"""The random decisions of a seed. Each is a hash of the seed and of names, so it does not depend on call order."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TypeVar

Option = TypeVar("Option")

_DIGEST_BYTES = 8
_SWARM_FACTORS = (0, 1, 1, 4)


class Chance:
    """The decisions of one seed. The same names always give the same decision."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def draw(self, *names: object) -> float:
        """Return a number from 0 (inclusive) to 1 (exclusive)."""
        text = "/".join(map(str, (self._seed, *names)))
        digest = blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
        return float(int.from_bytes(digest) >> 11) / float(1 << 53)

    def happens(self, probability: float, *names: object) -> bool:
        """Return whether something with this probability happens."""
        return self.draw(*names) < probability

    def between(self, low: int, high: int, *names: object) -> int:
        """Return a whole number from `low` to `high`, both inclusive."""
        return low + int(self.draw(*names) * (high - low + 1))

    def pick(self, options: Sequence[Option], *names: object) -> Option:
        return options[int(self.draw(*names) * len(options))]

    def weighted(self, weight_by_option: Mapping[Option, int], *names: object) -> Option:
        """Return one of the options with a probability in proportion to its weight."""
        left = self.draw(*names) * sum(weight_by_option.values())
        for option, weight in weight_by_option.items():
            left -= weight
            if left < 0:
                return option
        raise ValueError(f"No weight of {weight_by_option} is greater than zero.")

    def swarmed(self, weight_by_option: Mapping[Option, int], *names: object) -> dict[Option, int]:
        """Return the weights with some set to zero and some increased, by the seed. The first one stays unchanged.

        Seeds that each concentrate on different things find more than seeds that all do a little of everything.
        """
        first = next(iter(weight_by_option))
        return {
            option: weight * (1 if option == first else self.pick(_SWARM_FACTORS, "swarm", *names, option))
            for option, weight in weight_by_option.items()
        }
