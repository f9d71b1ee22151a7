"""Runs a script in a fork of a process that has its libraries (warm_python.py), or by Python if that refuses.

It is started for each job, so it imports next to nothing.
"""

import _socket
import json
import os
import sys
from array import array


def connected(folder: str) -> _socket.socket:
    """Return a connection with the process whose socket is in a folder."""
    here, connection = os.getcwd(), _socket.socket(_socket.AF_UNIX)
    os.chdir(folder)
    connection.connect("socket")
    os.chdir(here)
    return connection


def main(folder: str, script: str) -> int:
    """Have the script run and return the status with which it ended."""
    connection = connected(folder)
    umask = os.umask(0)
    os.umask(umask)
    asked = {"folder": os.getcwd(), "environment": dict(os.environ), "umask": umask, "script": script}
    streams = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array("i", [0, 1, 2]))
    connection.sendmsg([json.dumps(asked).encode()], [streams])
    connection.shutdown(_socket.SHUT_WR)
    said = connection.recv(16)
    if said == b"refused":
        os.execv(sys.executable, [sys.executable, script])
    return int(said or 137)  # a process that was killed says nothing


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
