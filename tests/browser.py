"""Open a page in headless Chromium: its document after the scripts have run, a picture of it, or what it logs."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from matplotlib import image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CLICKS = Path(__file__).with_name("report_clicks.js")
# Milliseconds of the page's own clock, which runs ahead as soon as nothing is left to compute.
PAGE_TIME = 10_000
WALL_TIME = 180.0  # seconds
DARK = ("--blink-settings=preferredColorScheme=0",)


# What axe-core finds against a page.
VIOLATIONS = """const {violations} = await axe.run();
  return violations.map(found => [found.id, found.nodes.map(node => node.html.slice(0, 200))]);"""
needs_axe = pytest.mark.skipif("LEAKSCOPE_AXE" not in os.environ, reason="needs $LEAKSCOPE_AXE: axe.min.js of axe-core")


def find_chromium() -> str | None:
    """Return the first Chromium on the path, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None, reason="needs Chromium: install `chromium` (Debian, Ubuntu: apt-get install chromium)"
)


def rendered_dom(
    page: Path | str, fragment: str = "", *, width: int = 1280, height: int = 800, dark: bool = False
) -> str:
    """Return the page's HTML after its scripts have run.

    Args:
        page: an HTML file.
        fragment: what follows ``#`` in the address.
        width: of the window, pixels.
        height: of the window, pixels.
        dark: whether the reader prefers dark pages.
    """
    return _run(page, fragment, width, height, "--dump-dom", *(DARK if dark else ()))


def dom_once_loaded(address: str) -> str:
    """Return a page's HTML as it is, in real time, when all that it asks for has come or failed."""
    with _command(address, "", 1280, 800, "--dump-dom") as command:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=WALL_TIME, env=_env(), check=True
        )
    return done.stdout


def screenshot(
    page: Path, target: Path, fragment: str = "", *, width: int = 1280, height: int = 800, dark: bool = False
) -> None:
    """Save a PNG of the window; arguments as in ``rendered_dom``."""
    options = ["--hide-scrollbars", f"--screenshot={target}", *(DARK if dark else ())]
    _run(page, fragment, width, height, *options)


def asked(
    page: Path,
    script: str,
    fragment: str = "",
    *,
    ready: str,
    width: int = 1280,
    before: str = "",
    dark: bool = False,
) -> Any:
    """Return what a script returns in a page; an error of the page is one of the test.

    Args:
        page: which is copied beside itself, with the script in it.
        script: the body of an async function; ``wait(milliseconds)`` waits.
        fragment: of the address.
        ready: a JavaScript expression that is true once the page has been drawn.
        width: of the window, in pixels.
        before: a script that runs before the page's own.
        dark: whether the reader prefers dark pages.
    """
    first = f'<script>window.wrong = []; addEventListener("error", e => wrong.push(e.message));{before}</script>'
    first += '<script>addEventListener("unhandledrejection", e => wrong.push(String(e.reason)));</script>'
    probe = f"""<pre id="probe"></pre><script>(async () => {{
      const wait = time => new Promise(done => setTimeout(done, time));
      for (let i = 0; i < 300 && !({ready}); i++) await wait(10);
      let found = null;
      try {{ found = await (async () => {{ {script} }})(); }} catch (error) {{ wrong.push(String(error)); }}
      $("probe").textContent = JSON.stringify([wrong, found]);
    }})();</script></body>"""
    copy = page.with_name(f"probed{width}.html")
    text = page.read_text(encoding="utf-8").replace("<title>", f"{first}<title>", 1)
    copy.write_text("".join(text.rpartition("</body>")[0]) + probe + "</html>", encoding="utf-8")
    dom = rendered_dom(copy, fragment, width=width, dark=dark)
    said = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    assert said is not None
    wrong, found = json.loads(html.unescape(said[1]))
    assert wrong == []
    return found


def axe_program() -> str:
    """Return axe-core as a page can hold it."""
    return Path(os.environ["LEAKSCOPE_AXE"]).read_text(encoding="utf-8").replace("</script", "<\\/script")


def brightness(page: Path, folder: Path) -> dict[str, float]:
    """Return how bright a page's corner is, 0 to 1, where the reader prefers ``light`` pages and ``dark`` ones."""
    found = {}
    for name, dark in {"light": False, "dark": True}.items():
        screenshot(page, folder / f"{name}.png", width=800, dark=dark)
        found[name] = float(image.imread(folder / f"{name}.png")[2, 2, :3].mean())
    return found


def logged_line(page: Path, beginning: str, fragment: str = "", spent: list[float] | None = None) -> str:
    """Return the rest of the first console line with this beginning, in real time: for measuring.

    With the page's clock running ahead, as in the other functions, performance.now() stands still.

    Args:
        page: an HTML file.
        beginning: of the line.
        fragment: of the address.
        spent: is given the seconds of CPU of the page's process at every line that begins with "CPU".
    """
    with _command(page, fragment, 1280, 800, "--enable-logging=stderr", "--v=0") as command:
        chromium = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=_env())
        guard = threading.Timer(WALL_TIME, chromium.kill)
        guard.start()
        try:
            assert chromium.stderr is not None
            for line in chromium.stderr:
                if spent is not None and '"CPU' in line:
                    spent.append(_seconds_of_page(command))
                if f'"{beginning}' in line:
                    return line.split(f'"{beginning}', 1)[1].rsplit('", source:', 1)[0]
        finally:
            guard.cancel()
            chromium.kill()
            chromium.wait()
    raise RuntimeError(f"{page} logged no line that begins with {beginning!r}")


def _seconds_of_page(command: list[str]) -> float:
    """Return the CPU time of the process that draws the page, of the Chromium of a command line; Linux has it."""
    profile = next(part for part in command if part.startswith("--user-data-dir="))
    seconds = [0.0]
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            started = (folder / "cmdline").read_bytes().decode(errors="replace")
            if "--type=renderer" in started and profile.partition("=")[2] in started:
                ticks = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
                seconds.append(sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"))
    return max(seconds)


def clicked(report: Path) -> dict[str, Any]:
    """Click on everything in a report of Snakemake; return what went ``wrong`` and, by section, what was ``opened``."""
    page = report.with_suffix(".clicked.html")
    clicks = CLICKS.read_text(encoding="utf-8")
    page.write_text(f"{report.read_text(encoding='utf-8')}<script>{clicks}</script>", encoding="utf-8")
    outcome: dict[str, Any] = json.loads(logged_line(page, "clicks: "))
    return outcome


def _run(page: Path, fragment: str, width: int, height: int, *options: str) -> str:
    with _command(page, fragment, width, height, f"--virtual-time-budget={PAGE_TIME}", *options) as command:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", timeout=WALL_TIME, env=_env(), check=False
        )
    if done.returncode != 0:
        raise RuntimeError(f"Chromium ended with {done.returncode} on {page}: {done.stderr[-2000:]}")
    return done.stdout


@contextmanager
def _command(page: Path | str, fragment: str, width: int, height: int, *options: str) -> Iterator[list[str]]:
    """Give the command line, with a profile that is gone afterwards."""
    chromium = find_chromium()
    if chromium is None:
        raise FileNotFoundError("no Chromium on the path")
    address = (page if isinstance(page, str) else page.resolve().as_uri()) + (f"#{fragment}" if fragment else "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        yield [
            chromium,
            "--headless=new",
            "--no-sandbox",  # containers run as root, where Chromium's sandbox refuses to start
            "--disable-gpu",
            "--disable-dev-shm-usage",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *options,
            address,
        ]


def _env() -> dict[str, str]:
    return os.environ | {"LANG": "C.UTF-8"}
