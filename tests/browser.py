"""Open a page in headless Chromium: its document after the scripts have run, or a picture of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Milliseconds of the page's own clock, which runs ahead as soon as nothing is left to compute.
PAGE_TIME = 10_000
WALL_TIME = 120.0  # seconds


def find_chromium() -> str | None:
    """Return the first Chromium on the path, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="needs Chromium: install `chromium` (Debian, Ubuntu: apt-get install chromium)"
)


def rendered_dom(page: Path, fragment: str = "", *, width: int = 1280, height: int = 800) -> str:
    """Return the page's HTML after its scripts have run.

    Args:
        page: an HTML file.
        fragment: what follows ``#`` in the address.
        width: of the window, pixels.
        height: of the window, pixels.
    """
    return _run(page, fragment, width, height, "--dump-dom")


def screenshot(
    page: Path, target: Path, fragment: str = "", *, width: int = 1280, height: int = 800, dark: bool = False
) -> None:
    """Save a PNG of the window; arguments as in ``rendered_dom``."""
    options = ["--hide-scrollbars", f"--screenshot={target}"]
    _run(page, fragment, width, height, *options, *(["--force-dark-mode"] if dark else []))


def _run(page: Path, fragment: str, width: int, height: int, *options: str) -> str:
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError("no Chromium on the path")
    address = page.resolve().as_uri() + (f"#{fragment}" if fragment else "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            chromium,
            "--headless=new",
            "--no-sandbox",  # containers run as root, where Chromium's sandbox refuses to start
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            f"--virtual-time-budget={PAGE_TIME}",
            *options,
            address,
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=WALL_TIME, env=os.environ | {"LANG": "C.UTF-8"}
        )
    if done.returncode != 0:
        raise RuntimeError(f"Chromium ended with {done.returncode} on {page}: {done.stderr[-2000:]}")
    return done.stdout
