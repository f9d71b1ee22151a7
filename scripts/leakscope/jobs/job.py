"""What every entry script does around its work: a log file that ends with what the job took, and one clear line for
what a person can mend.
"""

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

# How the log says why a job ended: `failures` finds it there.
STOPPED, FAILED = "stopped:", "failed"
INTERRUPTED = 130  # as a shell says it
FULL = (errno.ENOSPC, errno.EDQUOT)
# They log every address that is asked, and what was sent.
TALKATIVE = ("httpx2", "httpcore2", "huggingface_hub", "urllib3")


@contextmanager
def job(log: str) -> Iterator[None]:
    """Log to the file ``log``, warnings to the terminal too; secrets are hidden in both.

    Ends by one line, no traceback, on an ``InputError`` and on a full disk, and silently where a person interrupts it.
    The log's last line is :func:`usage`.
    """
    # On a full disk the log cannot be written either: that is not what should fill the terminal.
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
        reason = f"{where}the disk is full; what was finished before is kept. Make room and run again."
        logger.info("%s %s", STOPPED, reason)
        sys.exit(f"Error: {reason}")
    except KeyboardInterrupt:
        logger.info("%s interrupted; what was finished before is kept.", STOPPED)
        sys.exit(INTERRUPTED)
    except Exception:
        # The traceback belongs in the log as well: on a cluster nobody sees the terminal.
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
