"""What is kept on disk between runs, under the user's cache: proofs by what they prove.

Nothing here is trusted.  A proof that is read back must be about the very terms, sizes and inputs
that are asked for, and is checked before it is used; a damaged or foreign file costs a search.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from ncd_formal.certificate import Certificate, CertificateError, Goal
from ncd_formal.conditions import Context
from ncd_formal.errors import InputError

LIMIT = 5_000
"""Proofs that are kept; where there are more, the oldest go."""


def folder(name: str) -> Path:
    """A folder of the user's cache, or one of this process where there is none: no one else's."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    found = Path(home).expanduser() / "ncd_formal" / name
    with suppress(OSError):
        found.mkdir(parents=True, exist_ok=True)
        if os.access(found, os.W_OK):
            return found
    return Path(tempfile.mkdtemp(prefix=f"ncd-{name}-"))


class Proofs:
    """Certificates of single goals without hypotheses, by what they prove."""

    def __init__(self, place: Path) -> None:
        self.place = place
        with suppress(OSError):
            files = sorted(place.glob("*.json"), key=lambda path: path.stat().st_mtime)
            for path in files[: max(0, len(files) - LIMIT)]:
                path.unlink(missing_ok=True)

    def find(self, context: Context, goal: Goal) -> Certificate | None:
        """A proof of a goal, checked; None where none is kept, or it is not one."""
        try:
            data = json.loads(self._file(context, goal).read_text(encoding="utf-8"))
            found = Certificate.from_json(data)
            found.check()
        except (OSError, ValueError, RecursionError, CertificateError, InputError):
            return None
        return found if _is_about(found, context, goal) else None

    def keep(self, context: Context, certificate: Certificate) -> None:
        """Keep a proof of its first goal; one that cannot be written is forgotten."""
        if certificate.hypotheses or certificate.rules or certificate.conditions:
            return
        path = self._file(context, certificate.goals[0])
        with suppress(OSError):
            descriptor, partial = tempfile.mkstemp(dir=self.place, suffix=".partial")
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(certificate.to_json(), file)
            Path(partial).replace(path)

    def _file(self, context: Context, goal: Goal) -> Path:
        said = [
            goal.left.digest,
            goal.right.digest,
            goal.layout,
            sorted((axis, str(extent)) for axis, extent in context.axes.items()),
            sorted(context.lower.items()),
            [str(assumption) for assumption in context.assumptions],
            sorted(context.inputs.items()),
            sorted((k, s.outer, s.inner, s.masked) for k, s in context.splits.items()),
        ]
        return self.place / f"{hashlib.sha256(repr(said).encode()).hexdigest()}.json"


def _is_about(found: Certificate, context: Context, goal: Goal) -> bool:
    own = found.context
    return (
        found.goals[0] == goal
        # Further goals show what kind of array it is, and are about nothing else.
        and all(g.left is goal.left and g.layout == goal.layout for g in found.goals)
        and not found.hypotheses
        and not found.rules
        and not found.conditions
        # A proof may have named further axes.
        and all(own.axes.get(axis) is extent for axis, extent in context.axes.items())
        and dict(own.lower) == dict(context.lower)
        and own.assumptions == context.assumptions
        and dict(own.inputs) == dict(context.inputs)
        and dict(own.splits) == dict(context.splits)
    )
