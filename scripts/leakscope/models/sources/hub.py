"""Downloads a model from the hub once, and records the resolved commit."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx2
from huggingface_hub import constants, get_token, set_client_factory, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils._http import hf_request_event_hook

from leakscope.errors import InputError
from leakscope.jobs.redaction import remember_value
from leakscope.storage.manifests import hash_model
from leakscope.web.http import Failure, LimitedStream, brief, within
from leakscope.web.retrying import NoAnswerError, ask_again
from leakscope.web.servers import read_key

# Weights as safetensors only: pickled weights run code when they are loaded.
PATTERNS = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken"]
CODE_PATTERNS = [*PATTERNS, "*.py"]
# Copies of a language model's weights, in other programs' forms; transformers reads none of them.
COPIES = ["consolidated*.safetensors", "*/*.safetensors"]
ATTEMPTS = 3
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
# What the hub says of a model, not its files: so many bytes, and so many times the seconds of one wait.
LARGEST_LISTING, WAITS = 64 * 2**20, 6
# What its client raises where an answer is no hub's: a page of a proxy, lists in lists without end.
NO_HUB = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
NOT_THE_NETWORK = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
MODEL = "model"
OFFLINE = "HF_HUB_OFFLINE is set and the {what} is not in the cache"


def fetch_snapshot(
    repo_id: str,
    revision: str,
    *,
    trust_remote_code: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Download a language model into the hub cache and return its manifest with the resolved commit.

    Raises:
        InputError: as ``fetch_folder``, or the model has no safetensors weights.
    """
    patterns = CODE_PATTERNS if trust_remote_code else PATTERNS
    folder = fetch_folder(repo_id, revision, patterns=patterns, copies=COPIES, sleep=sleep)
    if not any(folder.glob("*.safetensors")):
        raise InputError(
            f"model {repo_id}: got no safetensors weights at revision {revision!r}; "
            "allowed: a model or revision with them."
        )
    return {"source": "hub", "id": repo_id, "revision": revision, "commit": folder.name, **hash_model(folder)}


def fetch_folder(
    repo_id: str,
    revision: str,
    *,
    patterns: Sequence[str] = PATTERNS,
    copies: Sequence[str] = (),
    what: str = MODEL,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """Download a snapshot into the hub cache and return its folder there, which is named by the resolved commit.

    With ``HF_HUB_OFFLINE=1`` the snapshot must be in the cache already. A hub that refuses connections, or takes them
    and says nothing for ``HF_HUB_DOWNLOAD_TIMEOUT`` seconds (10), is tried ``ATTEMPTS`` times; so is one that answers
    without end.

    Args:
        repo_id: of the hub.
        revision: a branch, tag or commit.
        patterns: of the files that are taken, by path in the repository.
        copies: of those among them that are not.
        what: errors call it so.
        sleep: between attempts.

    Raises:
        InputError: the hub cannot be reached, or knows no such model or revision, or the model is gated; or the token
            cannot be sent.
    """
    for variable in TOKENS:
        read_key(variable)
    set_client_factory(_impatient_client)
    try:
        return ask_again(lambda: _attempt(repo_id, revision, patterns, copies, what), attempts=ATTEMPTS, sleep=sleep)
    except NoAnswerError as error:
        raise _unreachable(repo_id, error.reason, what) from error


def _attempt(repo_id: str, revision: str, patterns: Sequence[str], copies: Sequence[str], what: str) -> Path | Failure:
    """Return the folder of a snapshot, or why the hub did not give it this time; as ``fetch_folder`` else."""
    try:
        # Of `hf auth login`, in a file; what asks for it anew sends it.
        remember_value(get_token() or "")
        taken = {"allow_patterns": list(patterns), "ignore_patterns": list(copies)}
        return Path(snapshot_download(repo_id, revision=revision, **taken))
    except GatedRepoError as error:
        raise InputError(
            f"{what} {repo_id}: access is gated; accept its terms on the hub and set HF_TOKEN to your token."
        ) from error
    except RevisionNotFoundError as error:
        raise InputError(f"{what} {repo_id}: the hub knows no revision {revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"{what} {repo_id}: the hub knows no such {what}; if it is private, set HF_TOKEN to your token."
        ) from error
    except OfflineModeIsEnabled as error:
        raise _unreachable(repo_id, OFFLINE.format(what=what), what) from error
    except HFValidationError as error:
        raise InputError(f"{what} {repo_id!r}: is neither an existing folder nor the id of a hub model.") from error
    except (LocalEntryNotFoundError, HTTPError, OSError, *NO_HUB) as error:
        if isinstance(error, OSError) and error.errno in NOT_THE_NETWORK:
            raise InputError(f"{what} {repo_id}: cannot be stored: {error.strerror} ({error.filename}).") from error
        if constants.HF_HUB_OFFLINE:
            raise _unreachable(repo_id, OFFLINE.format(what=what), what) from error
        return Failure(_first_line(error))


def cached_folder(repo_id: str, commit: str, *, patterns: Sequence[str] = PATTERNS, what: str = MODEL) -> Path:
    """Return the folder of a snapshot that was fetched with these ``patterns``; needs no network.

    Raises:
        InputError: it is not in the cache, or not of this machine.
    """
    try:
        folder = snapshot_download(repo_id, revision=commit, allow_patterns=list(patterns), local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"{what} {repo_id}: commit {commit[:12]} was fetched, but is not in the hub cache "
            f"{constants.HF_HUB_CACHE}; set HF_HOME to a folder that all machines see, and fetch again."
        ) from error
    return Path(folder)


def fetch_gguf(id: str, revision: str, gguf_file: str) -> dict[str, Any]:
    """Download one file of a repository into the hub cache; return what was asked for, with the resolved commit.

    Raises:
        InputError: as ``fetch_folder``, or the repository has no such file.
    """
    folder = fetch_folder(id, revision, patterns=[gguf_file])
    if not (folder / gguf_file).is_file():
        raise InputError(
            f"model {id}: got no file {gguf_file!r} at revision {revision!r}; allowed: a file of this repository."
        )
    return {"id": id, "revision": revision, "gguf_file": gguf_file, "commit": folder.name}


def cached_gguf(fetched: Mapping[str, Any]) -> Path:
    """Return where a file is that ``fetch_gguf`` fetched; needs no network.

    Raises:
        InputError: as ``cached_folder``.
    """
    name: str = fetched["gguf_file"]
    return cached_folder(fetched["id"], fetched["commit"], patterns=[name]) / name


class _ImpatientClient(httpx2.Client):
    """A client that gives up where an answer does not begin, or its header has no end."""

    def send(self, request: httpx2.Request, **how: Any) -> httpx2.Response:
        """Return what is answered, to the end of its header, and of all of it where it is no stream.

        Raises:
            httpx2.ReadTimeout: it is late.
        """
        seconds = WAITS * constants.HF_HUB_DOWNLOAD_TIMEOUT
        send = super().send
        try:
            return within(seconds, lambda: send(request, **how))
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"no whole answer in {seconds:g} seconds", request=request) from error


def _impatient_client() -> httpx2.Client:
    """Return the hub's client, made to give up where a connection is taken and nothing comes, or no end of it.

    Some of its requests have no time limit, and it makes itself a new session when a connection breaks.
    """
    hooks = {"request": [hf_request_event_hook, _limit], "response": [_limit_listing]}
    return _ImpatientClient(event_hooks=hooks, follow_redirects=True, timeout=None)


def _limit(request: httpx2.Request) -> None:
    waits = request.extensions.get("timeout", {})
    kinds = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {kind: waits.get(kind) or constants.HF_HUB_DOWNLOAD_TIMEOUT for kind in kinds}
    if _is_listing(request):
        request.headers["Accept-Encoding"] = "identity"  # unpacked it could be of any size


def _limit_listing(response: httpx2.Response) -> None:
    listing = _is_listing(response.request)
    if not (listing or response.is_error):
        return
    if listing and response.headers.get("Content-Encoding", "identity") != "identity":
        raise httpx2.ReadError("an answer that is packed, which was not asked for")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    end = time.monotonic() + WAITS * constants.HF_HUB_DOWNLOAD_TIMEOUT
    response.stream = LimitedStream(response.stream, end, LARGEST_LISTING)


def _is_listing(request: httpx2.Request) -> bool:
    """Say whether a request is for what the hub knows of a model rather than for a file, which may be large."""
    return "/api/" in request.url.path and "/resolve/" not in request.url.path


def _first_line(error: Exception) -> str:
    """Return what an error says first; what the hub's client adds is advice for programmers."""
    return brief(str(error).strip().partition("\n")[0]) or type(error).__name__


def _unreachable(repo_id: str, reason: str, what: str) -> InputError:
    return InputError(
        f"{what} {repo_id}: the hub cannot be reached ({reason}); "
        f"fetch it on a machine with network (`snakemake fetch_models`) or use a {what} with `source: local`."
    )
