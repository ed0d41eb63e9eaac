"""The command `verify`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A store, or what `publish` wrote.", readable=False)
    ] = Path("mlruns"),
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="PATH", help="The images: compare their hashes, too.", readable=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every item as JSON.")] = False,
) -> None:
    """Compute everything that is stored again, and check every hash. Exit code 1 where something differs."""
    from harness.cli.show.verified import show_items
    from harness.errors import StudyError
    from harness.store import Store

    if not (folder / "jobs").is_dir() and not (folder / "studies").is_dir():
        what = "is an archive: unpack it first" if folder.suffix == ".zip" else "has neither jobs/ nor studies/"
        raise StudyError(f"{folder} {what}; name a store, such as mlruns, or a folder that `harness publish` wrote")
    if data is not None and not data.exists():
        raise StudyError(f"--data {data}: no such folder; name the folder with the images, or their .npz file")
    store = Store(folder)
    from harness.data.sources import given_folder
    from harness.report.verified.verify import Verification
    from harness.search.computed_again import search_again_items

    images = None if data is None else given_folder(data, store)
    items = list(Verification(store, images, search_again_items).items())
    differs = any(item.verdict == "differs" for item in items)
    if as_json:
        print(
            json.dumps({"folder": str(store.root), "holds": not differs, "items": [asdict(i) for i in items]}, indent=1)
        )
    else:
        show_items(items)
    if differs:
        raise typer.Exit(1)
