"""Import the user's own parts, `module:Class` in the study file."""

import hashlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from harness.errors import HarnessError, described
from harness.study.own_file import file_name


def source_digest(source: str) -> str:
    """The hash of a head's source; it is part of the ids, like the settings."""
    return f"sha256:{hashlib.sha256(source.encode()).hexdigest()}"


def head_class(head: str, source: str) -> Callable[..., Any]:
    """Import the file of a custom head from its source and return the class. Raises HarnessError where that fails."""
    name = f"harness_head_{source_digest(source)[7:23]}"
    if name not in sys.modules:
        module = ModuleType(name)
        sys.modules[name] = module  # before it runs: dataclasses look up their module there
        try:
            exec(compile(source, file_name(head), "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[name]
            raise HarnessError(f"{file_name(head)} cannot be imported: {described(error)}") from None
    found: Callable[..., Any] = getattr(sys.modules[name], head.partition(":")[2])
    return found
