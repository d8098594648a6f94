"""Proofs kept on disk: used again where they prove what is asked, and never trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ncd_formal import cache, task
from ncd_formal.certificate import Certificate
from ncd_formal.composition import Composition
from ncd_formal.equivalence import prove
from ncd_formal.proving import Proof


def block(x: Tensor, y: Tensor) -> Tensor:
    scores = x @ y.mT
    weights = scores.softmax(-1)
    return torch.relu(weights @ y) + x


def written_out(x: Tensor, y: Tensor) -> Tensor:
    weights = torch.exp(x @ y.mT)
    weights = weights / weights.sum(-1, keepdim=True)
    return torch.clamp(weights @ y, min=0) + x


INPUTS = {"x": "n d", "y": "m d"}


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> Composition:
    """A proof array by array."""
    monkeypatch.setattr(task, "WHOLE", 0)
    found = prove(block, written_out, INPUTS)
    assert isinstance(found.certificate, Composition), found.explain()
    return found.certificate


def test_what_is_kept_is_not_searched_for_again(
    swept: Composition, own_proofs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(list(own_proofs.glob("*.json"))) >= len(swept.parts)
    monkeypatch.setattr(Proof, "certificate", lambda *args, **kwargs: None)
    again = prove(block, written_out, INPUTS)
    assert isinstance(again.certificate, Composition)
    assert again.certificate.digest == swept.digest


def test_damaged_files_cost_a_search(swept: Composition, own_proofs: Path) -> None:
    for number, path in enumerate(sorted(own_proofs.glob("*.json"))):
        path.write_text(path.read_text("utf-8")[: -10 * (number % 3) - 2], "utf-8")
    again = prove(block, written_out, INPUTS)
    assert isinstance(again.certificate, Composition)
    assert again.certificate.digest == swept.digest


def test_a_proof_of_something_else_is_not_used(swept: Composition, own_proofs: Path) -> None:
    """Every file holds the certificate of another one."""
    files = sorted(own_proofs.glob("*.json"))
    texts = [path.read_text("utf-8") for path in files]
    for path, text in zip(files, texts[1:] + texts[:1], strict=True):
        path.write_text(text, "utf-8")
    kept = cache.Proofs(own_proofs)
    for part in swept.parts:
        found = kept.find(part.context, part.goals[0])
        assert found is None or found.goals[0] == part.goals[0]
    assert prove(block, written_out, INPUTS).status == "proved"


def test_a_proof_that_does_not_hold_is_not_used(swept: Composition, own_proofs: Path) -> None:
    """Without its lemmas a certificate proves nothing, whatever its digests say."""
    emptied = 0
    for path in own_proofs.glob("*.json"):
        data = json.loads(path.read_text("utf-8"))
        if data["lemmas"]:
            path.write_text(json.dumps({**data, "lemmas": []}), "utf-8")
            emptied += 1
            goal = Certificate.from_json(data).goals[0]
            assert cache.Proofs(own_proofs).find(Certificate.from_json(data).context, goal) is None
    assert emptied
    assert prove(block, written_out, INPUTS).status == "proved"


def test_the_oldest_go_first(own_proofs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT", 2)
    for age in range(4):
        path = own_proofs / f"{age}.json"
        path.write_text("{}")
        os.utime(path, (1000 - age, 1000 - age))
    cache.Proofs(own_proofs)
    assert sorted(path.name for path in own_proofs.iterdir()) == ["0.json", "1.json"]


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert cache.folder("proofs").is_dir()
