"""Draws that hang on a seed and on what is drawn, and on nothing else: not on order, number or company."""

from __future__ import annotations

import hashlib


def seeded_hash(seed: int, *parts: str) -> int:
    """Return a number from 0 to 2^64 − 1 that depends on the seed and all parts, and on nothing else."""
    digest = hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big")
