"""The processes that run studies in a store: each writes its name beside the lock that it has."""

import errno
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import Any


def read_holder(path: Path) -> dict[str, Any] | None:
    """The pid and the host of the process that wrote this file; None where it has the lock beside it no longer.

    In a copy of a store, the file may name a process that runs the study in the original: the lock there is another.
    """
    try:
        who: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        here, pid = who["host"] == socket.gethostname(), int(who["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return who if (not here or _is_running(pid)) and _is_locked(path.with_suffix(".lock")) else None


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:  # it is running, as another user
        return True
    except OSError:
        return False
    return True


def _is_locked(lock: Path) -> bool:
    """Whether a process has this lock; taken for so where the file system cannot say."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.ENOLCK)
    finally:
        os.close(descriptor)
    return False


def holder_name(path: Path) -> str:
    """The process that has the lock. It writes its name after locking; until then the file may name an old one."""
    for _ in range(20):
        who = read_holder(path)
        if who is not None:
            return f"process {who['pid']} on {who['host']}"
        time.sleep(0.05)
    return "its process has not written its name yet"
