"""What a study says of a server: its address, in which no secret stands, and the variable that holds its key.

The configuration is checked by it before any job is planned, so it imports nothing heavy.
"""

from __future__ import annotations

import os
import re
import unicodedata
from urllib.parse import SplitResult, unquote, urlsplit

from leakscope.errors import InputError
from leakscope.jobs.redaction import is_secret_name, remember

PRINTABLE = re.compile(r"[ -~]*")
# Encoded, too: some servers decode an address before they take it apart.
USER_MARK = re.compile(r"@|%(?:25)*40")
PART_MARK = re.compile(r"[?#;]|%(?:25)*(?:3f|23|3b)", re.IGNORECASE)
NO_KEY = "this server is asked without a key"
BY_VARIABLE = "name the environment variable that holds the key by `key_variable`"


def check_address(url: str, where: str, key: str = NO_KEY) -> None:
    """Check that an address can be asked, and holds no secret: it is stored, logged and shown.

    Args:
        url: such as ``http://localhost:8000/v1``.
        where: what errors say first.
        key: what they say of a secret in it: where a key belongs, if it belongs anywhere.

    Raises:
        InputError: it is no address of HTTP, or may have a user, a password, parameters or a fragment in it. What may
            be secret is not repeated.
    """
    plain = unicodedata.normalize("NFKC", url)
    if USER_MARK.search(plain):
        raise InputError(f"{where}: got an address with a user or password before @; allowed: one without; {key}.")
    if PART_MARK.search(plain):
        raise InputError(f"{where}: got an address with a part after '?', '#' or ';'; allowed: one without; {key}.")
    if any(is_secret_name(part.partition("=")[0]) for part in re.split("[/&]", unquote(plain)) if "=" in part):
        raise InputError(f"{where}: got an address with a key in its path; allowed: one without; {key}.")
    if _split(url) is None:
        raise InputError(f"{where}: got the address {url!r}; allowed: http://... or https://...")


def read_key(variable: str) -> str:
    """Return the key in a variable of the environment, without white space around it; empty where there is none.

    From now on the key is hidden in all that is logged.

    Raises:
        InputError: it cannot be sent: it has several lines, control characters, or letters that are not ASCII. The
            message names the variable, not its value.
    """
    remember(variable)
    key = os.environ.get(variable, "").strip()
    if not PRINTABLE.fullmatch(key):
        raise InputError(
            f"the environment variable {variable}: got a line break, a control character or a letter that is not "
            "ASCII; allowed: only the key, on one line."
        )
    return key


def _split(url: str) -> SplitResult | None:
    """Return the parts of an address; None if it is none of HTTP."""
    try:
        parsed = urlsplit(url)
        _ = parsed.port  # which is looked at only now
    except ValueError:
        return None
    usable = parsed.scheme in ("http", "https") and parsed.hostname and url.isprintable() and " " not in url
    return parsed if usable else None
