"""The folder on disk."""

from harness.store.ledger import Ledger
from harness.store.store import Store

__all__ = ["Ledger", "Store"]
