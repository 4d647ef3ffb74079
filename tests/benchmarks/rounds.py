"""Times contenders side by side: in rounds, in turns, so that what else the machine does hits them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


class Ratio(NamedTuple):
    """The median of the ratios of the rounds, and the 95 % interval of that median by bootstrap."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}]"


def interleave(
    rounds: int, *contenders: Callable[[int], object], before: Callable[[], object] = lambda: None
) -> list[Seconds]:
    """Call each contender with the number of each round; the seconds of each. Who goes first changes every round.

    `before` puts things in order before each call, and is not timed.
    """
    taken = [np.zeros(rounds) for _ in contenders]
    for number in range(rounds):
        for turn in range(len(contenders)):
            which = (number + turn) % len(contenders)
            before()
            begun = time.perf_counter()
            contenders[which](number)
            taken[which][number] = time.perf_counter() - begun
    return taken


def ratio(first: Sequence[float] | Seconds, second: Sequence[float] | Seconds) -> Ratio:
    """first / second, round by round."""
    ratios = np.asarray(first) / np.asarray(second)
    drawn = np.random.default_rng(0).choice(ratios, (2000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return Ratio(float(np.median(ratios)), float(low), float(high))
