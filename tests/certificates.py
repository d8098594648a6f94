"""Certificates that tests look into."""

from __future__ import annotations

from pathlib import Path

from ncd_formal.certificate import Certificate
from ncd_formal.composition import Composition


def single(certificate: Certificate | Composition | None) -> Certificate:
    """A proof that is one certificate."""
    assert isinstance(certificate, Certificate)
    return certificate


def load(path: Path) -> Certificate:
    """A saved proof that is one certificate."""
    return single(Certificate.load(path))
