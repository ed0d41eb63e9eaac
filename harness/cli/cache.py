"""The command `cache`."""

from typing import Annotated, Literal

import typer

from harness.cli.options import DEFAULT_STORE, StoreFolder


def cache(
    store_folder: StoreFolder = DEFAULT_STORE,
    clear: Annotated[
        Literal["pixels", "features", "all"] | None,
        typer.Option("--clear", help="Remove these; the next run creates them again."),
    ] = None,
) -> None:
    """Show what is cached and how large it is; --clear removes it."""
    from harness.cli.show.findings import show_cache
    from harness.store import Store
    from harness.store.cache import clear as remove
    from harness.store.cache import entries

    store = Store(store_folder)
    if clear:
        store.require_open()
        show_cache(store, remove(store, None if clear == "all" else clear), "removed")
    show_cache(store, entries(store), "cached")
