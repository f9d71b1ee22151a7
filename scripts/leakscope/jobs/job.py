"""The frame of every entry script: a log file that ends with the job's usage, and one-line errors for users."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leakscope.errors import InputError
from leakscope.jobs.redaction import hide, hide_in_logs
from leakscope.jobs.usage import usage

logger = logging.getLogger(__name__)

# Markers in the log of why a job ended; `failures` searches for them.
STOPPED, FAILED = "stopped:", "failed"
INTERRUPTED = 130  # as a shell says it
FULL = (errno.ENOSPC, errno.EDQUOT)
# Libraries that log every request.
TALKATIVE = ("httpx2", "httpcore2", "huggingface_hub", "urllib3")


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to the file ``log``, and warnings to the terminal too; secrets are hidden in both.

    An ``InputError`` or a full disk ends the job with one line and no traceback; an interrupt ends it silently. The
    last line of the log is :func:`usage`.
    """
    # On a full disk the log cannot be written either; logging errors would fill the terminal.
    logging.raiseExceptions = False
    try:
        _log_to(log)
        yield
    except InputError as error:
        logger.info("%s %s", STOPPED, error)
        sys.exit(f"Error: {error}")
    except OSError as error:
        if error.errno not in FULL:
            logger.info(FAILED, exc_info=True)
            raise
        where = hide(f"{error.filename}: ") if error.filename else ""
        reason = f"{where}the disk is full; finished work is kept. Make room and run again."
        logger.info("%s %s", STOPPED, reason)
        sys.exit(f"Error: {reason}")
    except KeyboardInterrupt:
        logger.info("%s interrupted; finished work is kept.", STOPPED)
        sys.exit(INTERRUPTED)
    except Exception:
        # The traceback goes to the log too: on a cluster there is no terminal.
        logger.info(FAILED, exc_info=True)
        raise
    finally:
        logger.info(usage())
        logging.raiseExceptions = True


def _log_to(log: str) -> None:
    hide_in_logs()
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
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
