"""Proves deep-learning programs equal, and derives fast kernels from their definitions.

>>> import ncd_formal as ncd
>>> verdict = ncd.prove(left, right, inputs={"q": "b h n d", "k": "b h m d"})  # doctest: +SKIP
>>> verdict.status  # doctest: +SKIP
'proved'

Importing this module loads nothing heavy: each name below is looked up when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ncd_formal.certificate import Certificate, CertificateError
    from ncd_formal.derivation import derive
    from ncd_formal.equivalence import prove
    from ncd_formal.errors import InputError
    from ncd_formal.testing import assert_equivalent

__version__ = "0.1.0"

__all__ = [
    "Certificate",
    "CertificateError",
    "InputError",
    "__version__",
    "assert_equivalent",
    "derive",
    "prove",
]

# Where each public name lives.
_HOMES = {
    "Certificate": "ncd_formal.certificate",
    "CertificateError": "ncd_formal.certificate",
    "InputError": "ncd_formal.errors",
    "assert_equivalent": "ncd_formal.testing",
    "derive": "ncd_formal.derivation",
    "prove": "ncd_formal.equivalence",
}


def __getattr__(name: str) -> object:
    """Imports a public name when it is first used, and keeps it.

    Raises:
        AttributeError: for a name that is not public.
    """
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Lists what is public, loaded or not."""
    return sorted({*globals(), *__all__})
