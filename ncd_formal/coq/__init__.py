"""Proofs that Coq's kernel accepts: the laws as Coq data, certificates as theorems."""
