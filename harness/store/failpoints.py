"""Named places at which a test can kill this process. Without the environment variable they do nothing."""

import os
import signal
from collections import Counter

VARIABLE = "HARNESS_FAILPOINT"  # NAME:N kills at the N-th pass of the place NAME; `count` only counts the passes

passes: Counter[str] = Counter()  # by name, while the variable is set


def failpoint(name: str) -> None:
    """Kill this process (SIGKILL) where the environment variable names this pass of this place."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    passes[name] += 1
    if wanted == f"{name}:{passes[name]}":
        os.kill(os.getpid(), signal.SIGKILL)
