"""Machines: how much one processor holds, and how fast values reach it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ncd_formal.errors import InputError


@dataclass(frozen=True, slots=True)
class Machine:
    """Two levels: a memory of any size, and ``memory`` values on a chip."""

    name: str
    memory: int
    """Values on a chip, at ``bytes_per_value``."""
    bandwidth: float = 0.0
    """Bytes a second between the levels; 0 where it is not given."""
    flops: float = 0.0
    """Operations a second; 0 where they are not given."""
    bytes_per_value: int = 2


# Shared memory of one multiprocessor, bandwidth of the device, dense 16-bit tensor rate, as the
# vendor's data sheets state them.
MACHINES: Mapping[str, Machine] = {
    "a100": Machine("a100", 164 * 1024 // 2, 2.039e12, 312e12),
    "h100": Machine("h100", 228 * 1024 // 2, 3.35e12, 989e12),
    "h200": Machine("h200", 228 * 1024 // 2, 4.8e12, 989e12),
}


def machine(hardware: str | Mapping[str, int] | Machine) -> Machine:
    """A machine by name, or the two-level model ``{"memory": M}`` with M values on chip.

    Errors: InputError for a name that is not known, and for a model without a memory.
    """
    if isinstance(hardware, Machine):
        return hardware
    if isinstance(hardware, Mapping):
        memory = hardware.get("memory")
        if type(memory) is not int or memory < 1 or len(hardware) != 1:
            raise InputError(f"hardware {dict(hardware)!r}: give {{'memory': M}}, M values on chip")
        return Machine(f"{memory} values", memory)
    found = MACHINES.get(hardware.lower())
    if found is None:
        near = difflib.get_close_matches(hardware.lower(), MACHINES, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise InputError(f"no machine is named {hardware!r}: there are {', '.join(MACHINES)}{hint}")
    return found
