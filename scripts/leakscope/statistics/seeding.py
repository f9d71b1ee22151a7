"""Seeds for reproducible draws that do not depend on the order or number of other draws."""

from __future__ import annotations

import hashlib


def seeded_hash(seed: int, *parts: str) -> int:
    """Return a number from 0 to 2^64 − 1 that depends only on the seed and all parts."""
    digest = hashlib.sha256("\0".join([str(seed), *parts]).encode()).digest()
    return int.from_bytes(digest[:8], "big")
