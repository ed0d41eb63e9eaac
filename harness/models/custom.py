"""A user's own head, named by `module:Class` in the study file; found without running it."""

import ast
import hashlib
import importlib.util
import sys
from pathlib import Path

from harness.errors import HarnessError


def is_custom(head: str) -> bool:
    """Whether this names a class of the user's."""
    return ":" in head


def head_digest(head: str, folder: Path) -> str:
    """The hash of the module's source, which decides the numbers as the settings do.

    folder: of the study file, where the module may lie; else it lies on PYTHONPATH. Raises HarnessError.
    """
    module, _, name = head.partition(":")
    if str(folder.absolute()) not in sys.path:
        sys.path.insert(0, str(folder.absolute()))
    try:
        spec = importlib.util.find_spec(module) if module else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise HarnessError(f"no module {module!r} in {folder} or on PYTHONPATH; a head of your own is `module:Class`")
    source = Path(spec.origin).read_bytes()
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    if name not in classes:
        raise HarnessError(f"{spec.origin} has no class {name!r}; it has: {', '.join(classes) or 'none'}")
    return f"sha256:{hashlib.sha256(source).hexdigest()}"
