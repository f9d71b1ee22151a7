"""Asking a server by HTTP, patiently: which failures are worth another attempt, and when."""

from __future__ import annotations

import email.utils
import time
from typing import NamedTuple

import httpx2

FIRST_WAIT, LONGEST_WAIT = 1.0, 600.0


class Failure(NamedTuple):
    """Why there is no answer, and after how many seconds the server wants to be asked again, if it says so."""

    reason: str
    retry_after: float | None = None

    def wait(self, attempt: int) -> float:
        """Return how many seconds to wait after an attempt, counted from 0: twice as long each time."""
        return FIRST_WAIT * 2.0**attempt if self.retry_after is None else self.retry_after


def is_address(url: str) -> bool:
    """Say whether a text is an address of HTTP or HTTPS."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parsed.scheme in ("http", "https") and bool(parsed.host)


def retry_after(response: httpx2.Response) -> float | None:
    """Return the seconds that a response asks to wait: a number or a date (RFC 9110, section 10.2.3)."""
    said = response.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        date = email.utils.parsedate_to_datetime(said)
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())
