"""Tests of the Coq theory, and of certificates put to Coq's kernel."""

from __future__ import annotations

import os

import pytest

from ncd_formal.certificate import Certificate
from ncd_formal.composition import Composition
from ncd_formal.coq import kernel

# Where CI is set a test without Coq is not skipped, so it fails.
needs_coq = pytest.mark.skipif(
    not kernel.available() and not os.environ.get("CI"),
    reason="coqc is not installed: apt-get install coq",
)


def assert_accepted(certificate: Certificate | Composition, plain: bool = False) -> None:
    """Coq's kernel accepts a certificate, where Coq is installed, and in CI it must be.

    With ``plain``, also the statements of its goals in plain mathematics.
    """
    if kernel.available() or os.environ.get("CI"):
        answer = kernel.accept(certificate, plain)
        assert answer.accepted, answer.reason
