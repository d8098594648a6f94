"""Kernels need torch, Triton and ml_dtypes, which are optional: without them, nothing is here."""

import importlib.util

if any(importlib.util.find_spec(name) is None for name in ("torch", "triton", "ml_dtypes")):
    collect_ignore_glob = ["test_*.py"]
