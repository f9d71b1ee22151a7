"""Python for the jobs of a workflow without the seconds that imports take: a process that has them, and forks for each.

Of the jobs of a small study, imports take half the time. What forks has imported nothing of leakscope, has computed
nothing and has no thread beside that of an allocator. A job in whose environment libraries would be imported otherwise
is refused: Python itself runs it then (warm_job.py).

There are two such processes, and runs of Snakemake take turns: each hashes texts in its own way, as every process of
Python does. A result that hangs on the order of a set still differs from one run to the next.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import json
import os
import select
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

N_PROCESSES = 2
# What jobs import first, and takes longest.
LIBRARIES = (
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "pandas",
    "pyarrow.dataset",
    "pyarrow.parquet",
    "pydantic.main",
    "safetensors.torch",
    "scipy.stats",
    "sentence_transformers",
    "snakemake.script",
    "tabulate",
    "threadpoolctl",
    "torch",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.qwen2.modeling_qwen2",
)
# What libraries look up when they are imported, and Python when it starts; and which of these a fork still learns.
READ_EARLY = ("CUDA", "HF_", "HUGGINGFACE_", "KMP_", "LD_", "MPLBACKEND", "PYTHON", "TORCH", "TRANSFORMERS_")
READ_BY_FORKS = {"PYTHONPATH", "PYTHONDONTWRITEBYTECODE"}
REFUSED = b"refused"

_turns = itertools.count()


def warm_python() -> str:
    """Return the command that runs a script as Python does, for the jobs of one run of Snakemake."""
    return command(_started(next(_turns) % N_PROCESSES))


def command(folder: str) -> str:
    """Return the command that runs a script in a fork of the process whose socket is in a folder."""
    return shlex.join([sys.executable, "-IS", str(Path(__file__).with_name("warm_job.py")), folder])


@cache
def _started(number: int) -> str:
    return start("random", LIBRARIES)


def start(hash_seed: str, libraries: Sequence[str]) -> str:
    """Start a process that forks, and return the folder of its socket. It ends with the tests: when its input does.

    Args:
        hash_seed: how it hashes texts, ``PYTHONHASHSEED``.
        libraries: what it imports before it forks.
    """
    folder = tempfile.mkdtemp(prefix="warm-python-")
    own = {"XDG_CACHE_HOME": folder, "MPLCONFIGDIR": folder, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    own |= {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": hash_seed}
    command, pipe = [sys.executable, __file__, folder, *libraries], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env={**os.environ, **own})
    assert process.stdout is not None
    assert process.stdout.readline(), "the process that forks for jobs has ended: its error stands above"
    return folder


def _serve(folder: str, *libraries: str) -> None:
    """Import libraries, and fork for each job that is asked for."""
    os.chdir(folder)
    asked = socket.socket(socket.AF_UNIX)
    asked.bind("socket")  # by a short name: whole paths of sockets have some hundred characters at most
    asked.listen(64)
    print("listening", flush=True)  # noqa: T201
    del os.environ["PYTHONHASHSEED"]  # a job is not told
    early = _read_early(os.environ)
    for library in libraries:
        importlib.import_module(library)
    gc.freeze()
    while asked in select.select([sys.stdin, asked], [], [])[0]:
        _forget_ended()
        with asked.accept()[0] as asking, suppress(ConnectionError):
            _answer(asking, early)
    shutil.rmtree(folder, ignore_errors=True)


def _answer(asking: socket.socket, early: Mapping[str, str]) -> None:
    """Fork for the job that somebody asks for, or refuse it."""
    message, streams, _, _ = socket.recv_fds(asking, 1 << 20, 3)
    while more := asking.recv(1 << 20):
        message += more
    job = json.loads(message) if message else None  # nothing of one that has been killed while it waited
    if job is not None and _read_early(job["environment"]) != early:
        asking.sendall(REFUSED)
    elif job is not None and os.fork() == 0:
        _run(job, streams, asking)
    for stream in streams:
        os.close(stream)


def _forget_ended() -> None:
    """Let the system forget forks that have ended: they have said themselves how."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _read_early(environment: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environment.items() if key.startswith(READ_EARLY) and key not in READ_BY_FORKS}


def _run(job: dict[str, Any], streams: list[int], asking: socket.socket) -> NoReturn:
    """Be Python that runs a script, and say to who asked with which status it ends."""
    status = 1
    try:
        _become(job, streams)
        _run_script(job["script"])
        status = 0
    except SystemExit as exit_:
        status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)  # noqa: T201
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        asking.sendall(b"%d" % status)
        os._exit(status)


def _become(job: dict[str, Any], streams: list[int]) -> None:
    """Take over streams, folder, umask and environment of who asked, and what Python makes of them when it starts."""
    for target, stream in enumerate(streams):
        os.dup2(stream, target)
        os.close(stream)
    os.chdir(job["folder"])
    os.umask(job["umask"])
    os.environ.clear()
    os.environ.update(job["environment"])
    sys.argv[:] = [job["script"]]
    sys.path[:1] = [str(Path(job["script"]).parent), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    sys.dont_write_bytecode = "PYTHONDONTWRITEBYTECODE" in os.environ
    tempfile.tempdir = None
    import numpy as np
    from threadpoolctl import threadpool_limits

    np.random.seed()  # Python's own generator is begun anew at a fork, this one is not
    threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))


def _run_script(path: str) -> None:
    main = ModuleType("__main__")
    main.__file__ = path
    sys.modules["__main__"] = main
    exec(compile(Path(path).read_bytes(), path, "exec"), main.__dict__)


if __name__ == "__main__":
    _serve(*sys.argv[1:])
