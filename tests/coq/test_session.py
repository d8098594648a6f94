"""The long-lived Coq of the tests answers as ``coqc`` does."""

from __future__ import annotations

import torch

from ncd_formal import prove
from ncd_formal.coq import kernel
from tests.coq import needs_coq, reason_against


@needs_coq
def test_the_session_accepts_and_rejects_as_coqc_does() -> None:
    found = prove(lambda x: torch.softmax(x, -1), lambda x: torch.softmax(x + 1, -1), {"x": "b n"})
    assert found.certificate is not None
    text = kernel.coq_text(found.certificate)
    changes = (
        text,
        text.replace("Cite p1", "Cite p2"),
        text.replace("Theorem certificate", "Theorem other"),
        text.replace("Qed.", ""),
        text,
    )
    assert len(set(changes)) == len(changes) - 1
    for changed in changes:
        by_coqc = not kernel.run(changed, kernel.theory()).returncode
        named = "Theorem certificate" in changed
        assert (not reason_against(changed)) == (by_coqc and named)
    assert not reason_against(text) and reason_against(changes[1])
