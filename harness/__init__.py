"""A benchmark harness for image-classification studies."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from harness.errors import HarnessError
    from harness.interface import OpenStudy, compare, load_study
    from harness.study_results import Results

__all__ = ["HarnessError", "OpenStudy", "Results", "compare", "load_study"]

if not TYPE_CHECKING:  # for the type checker there is no other name than these
    _MODULES = {"HarnessError": "harness.errors", "Results": "harness.study_results"}  # of the rest it is the interface

    def __getattr__(name: str) -> Any:
        """Import a name of the interface when it is first used: `import harness` alone stays light (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module 'harness' has no attribute {name!r}")
        return getattr(import_module(_MODULES.get(name, "harness.interface")), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
