"""Named places at which a test can have this process killed. Elsewhere they do nothing."""

import os
import signal
from collections import Counter

VARIABLE = "HARNESS_FAILPOINT"  # NAME:N, the N-th pass of the place NAME; or `count`

passes: Counter[str] = Counter()  # by name, while the variable is set


def failpoint(name: str) -> None:
    """Kills this process (SIGKILL) where the variable asks for this pass of this place."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    passes[name] += 1
    if wanted == f"{name}:{passes[name]}":
        os.kill(os.getpid(), signal.SIGKILL)
