"""Proofs that other runs kept are not used in tests: what is found today counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from ncd_formal import task


@pytest.fixture(autouse=True)
def own_proofs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of kept proofs, empty at first."""
    place = tmp_path_factory.mktemp("proofs")
    monkeypatch.setattr(task, "folder", lambda name: place)
    return place
