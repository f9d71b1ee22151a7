"""What every entry script does around its work: a log file, and one clear line where a person made a mistake."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leakscope.errors import InputError


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to the file ``log``, warnings to the terminal too; end by one line, no traceback, on an ``InputError``."""
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log, mode="w", encoding="utf-8")
    to_terminal = logging.StreamHandler()
    to_terminal.setLevel(logging.WARNING)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[to_file, to_terminal],
        force=True,
    )
    logging.captureWarnings(True)
    try:
        yield
    except InputError as error:
        logging.getLogger(__name__).info("stopped: %s", error)
        sys.exit(f"Error: {error}")
    except Exception:
        # The traceback belongs in the log as well: on a cluster nobody sees the terminal.
        logging.getLogger(__name__).info("failed", exc_info=True)
        raise
