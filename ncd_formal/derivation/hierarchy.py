"""Costs over more than two levels: sums over levels, types of fewer bytes, shared memories.

The least H of the two-level model, ``H*(M) = Σ α·M^−β``, is all that these laws need: M is the
memory of a level, and a level's transfers are weighed by its bandwidth.

Source: FlashAttention on a Napkin, section 4: equations 2 and 3, theorems 2 (4.4) and 3 (4.5), and
appendix B.1 for intensity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction

from ncd_formal.derivation.machines import BYTES, Machine
from ncd_formal.derivation.signomials import Signomial, total, variable

MEMORY = "M"


@dataclass(frozen=True)
class Channel:
    """A level as the cost sees it: values that fit, and values a second that reach it.

    Either may be a formula.
    """

    memory: Signomial
    bandwidth: Signomial


def at_memory(transfers: Signomial, memory: Signomial) -> Signomial:
    """H* where M is the memory of a level."""
    return transfers.substitute({MEMORY: memory})


def time(transfers: Signomial, channels: Iterable[Channel]) -> Signomial:
    """Equation 2: the sum over levels of H*(M_l) over the bandwidth of the level."""
    return total(at_memory(transfers, c.memory) / c.bandwidth for c in channels)


def in_bytes(channel: Channel, bytes_per_value: Signomial) -> Channel:
    """Equation 3: a level of M bytes and so many bytes a second holds and moves 1/q of them."""
    return Channel(channel.memory / bytes_per_value, channel.bandwidth / bytes_per_value)


def quantisation_gain(power: Fraction | int, factor: Fraction | int) -> float:
    """How much faster α·M^−β gets where values take 1/factor of the bytes: factor^(1 + β)."""
    q = variable("q")
    term = variable(MEMORY) ** -power
    wide = time(term, [in_bytes(Channel(variable(MEMORY), variable("B")), q)])
    at = {"q": 1.0, MEMORY: 1.0, "B": 1.0}
    return wide.evaluate({**at, "q": float(factor)}) / wide.evaluate(at)


def gains(transfers: Signomial, factor: Fraction | int) -> dict[Fraction, float]:
    """For each β in H*, how much faster its terms get where values take 1/factor of the bytes."""
    return {-power: quantisation_gain(-power, factor) for (power,) in transfers.by_power((MEMORY,))}


def shared_cache(memory: Signomial, most: int, groups_above: int, groups: int) -> Signomial | None:
    """Theorem 2: a cache that ``most`` memories share stands for one memory as large as them all.

    ``groups`` of the lower level lie in each of ``groups_above`` that the cache holds; the theorem
    asks that they run at once, ``groups / groups_above ≤ most``.  None where they do not.
    """
    return memory * most if groups <= most * groups_above else None


def cluster_time(transfers: Signomial, chip: Channel, exchange: Signomial, most: int) -> Signomial:
    """Theorem 3: ``most`` memories exchange what they load at the bandwidth ``exchange``.

    What the whole cluster needs is loaded once; each memory then gets its own share from the rest:
    (1/B_chip − 1/B_exchange) · H*(most · M) + 1/B_exchange · H*(M).
    """
    once = at_memory(transfers, chip.memory * most)
    each = at_memory(transfers, chip.memory)
    return (1 / chip.bandwidth - 1 / exchange) * once + each / exchange


def cluster_gain(transfers: Signomial, chip: Channel, exchange: Signomial, most: int) -> Signomial:
    """What a cluster saves: Δ(1/B) · Σ α·M^−β·(1 − N^−β)."""
    return time(transfers, [chip]) - cluster_time(transfers, chip, exchange, most)


@dataclass(frozen=True)
class Balance:
    """What a square product of matrices needs so that multiplying takes longer than moving.

    With H/K = M^(−1/2) + 1/(2·b) for K = 2·a·b·c operations.
    """

    depth: float
    """The least b, with any memory."""
    memory_bytes: float
    """The least M in bytes, with any b."""
    depth_at_memory: float | None
    """The least b with the memory of the level; None where it is too small for any."""


def balance(machine: Machine, level: str, dtype: str) -> Balance:
    """The balance of a level, appendix B.1.

    ``level`` is the one that values reach; its memory is that of the level.  Errors: KeyError for a
    level or a type that the machine does not have.
    """
    place, width = machine.level(level), BYTES[dtype]
    ratio = machine.rates[dtype] * width / place.bandwidth
    held = (place.capacity / width) ** -0.5
    rest = 1 / ratio - held
    return Balance(ratio / 2, ratio**2 * width, 1 / (2 * rest) if rest > 0 else None)


def levels_time(
    transfers: Signomial, machine: Machine, sizes: Mapping[str, float], dtype: str
) -> dict[str, float]:
    """Equation 2 on a machine: seconds for each level with a bandwidth, at the least H there."""
    width = BYTES[dtype]
    return {
        level.name: transfers.evaluate({**sizes, MEMORY: level.capacity / width})
        * width
        / level.bandwidth
        for level in machine.levels
        if level.bandwidth
    }
