"""The command `cache`."""

from typing import Annotated, Literal

import typer

from harness.cli.options import (
    MLRUNS,
    StorePath,
)


def cache(
    store: StorePath = MLRUNS,
    clear: Annotated[
        Literal["pixels", "features", "all"] | None, typer.Option("--clear", help="Remove these; runs make them anew.")
    ] = None,
) -> None:
    """Shows what is kept only to be quick, and how large it is; --clear removes it."""
    from harness.cli.show.findings import show_cache
    from harness.store import Store
    from harness.store.cache import clear as remove
    from harness.store.cache import entries

    at = Store(store)
    if clear:
        at.require_open()
        show_cache(at, remove(at, None if clear == "all" else clear), "removed")
    show_cache(at, entries(at), "kept")
