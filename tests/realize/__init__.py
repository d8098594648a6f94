"""Tests of what a schedule becomes."""
