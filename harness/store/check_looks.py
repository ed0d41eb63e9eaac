"""Check the ledger of looks of a store: a changed, removed or added entry is found."""

from collections.abc import Iterator
from datetime import UTC, datetime

from harness.store.chain import HASH, check_chain, hash_of_file
from harness.store.checked import DIFFERS, HOLDS, UNCHECKED, Checked
from harness.store.looks import TEST_IMAGES, Looks
from harness.store.machine import MachineLook
from harness.store.store import Store


def check_looks(store: Store) -> list[Checked]:
    """Check every entry of the ledger of looks, the lists of test images, and what this machine knows of the store."""
    looks = Looks(store)
    return [*check_entries(looks), *_models(store, looks), *_machine(store, looks)]


def check_entries(looks: Looks) -> list[Checked]:
    """Check every entry of the ledger of looks and the lists of test images, by the store alone."""
    return [*check_chain(looks.chain), *_images(looks)]


def _images(looks: Looks) -> Iterator[Checked]:
    """Compare the lists of test images with the hashes in the looks."""
    expected = {link["file"].partition("/")[0]: link["images"] for link in looks.chain.links() if "images" in link}
    found = {path.parent.name: path for path in looks.root.glob(f"*/{TEST_IMAGES}")}
    for name in sorted(expected.keys() | found.keys()):
        what = f"{name}/{TEST_IMAGES}"
        if name not in expected:
            yield Checked(what, UNCHECKED, "no look has its hash: they are of an older version, or missing")
        elif name not in found:
            yield Checked(what, DIFFERS, "removed")
        elif hash_of_file(found[name]) == expected[name]:
            yield Checked(what, HOLDS, "the test images are those of the looks")
        else:
            yield Checked(what, DIFFERS, "the test images are not those of the looks: changed")


def _models(store: Store, looks: Looks) -> Iterator[Checked]:
    """Name the models that were scored on a test set without a look; silent where an older version recorded looks."""
    links = looks.chain.links()
    if looks.chain.older or (not links and looks.chain.files):
        return
    seen = {job for link in links for job in link.get("jobs", ())}
    for path in sorted(store.jobs.glob("*/model.safetensors")):
        if path.parent.name not in seen:
            words = "scored on a test set without a recorded look: it came from elsewhere, or its look was removed"
            yield Checked(f"jobs/{path.parent.name}", UNCHECKED, words)


def _machine(store: Store, looks: Looks) -> Iterator[Checked]:
    """Compare with the looks that this machine knows of the store: those cut off at the end are missing here."""
    chain = looks.chain
    if chain.store_id is None:
        return
    known = {link[HASH] for link in chain.links()}
    there = [found for found in looks.machine.looks() if found.content["store"] == chain.store_id]
    if not there:
        yield Checked("the ledger of this machine", UNCHECKED, "it has no look of this store")
        return
    missing = [found for found in there if found.content[HASH] not in known]
    if not missing:
        yield Checked(
            "the ledger of this machine", HOLDS, f"all its looks of this store, {len(there)}, are in the store"
        )
    for found in missing:
        if found.place == store.root:
            yield Checked(
                _name(found), DIFFERS, "this machine recorded it for this store, where it is missing: removed"
            )
        else:
            words = f"recorded on this machine in {found.place}: made there by a copy of this store, or removed here"
            yield Checked(_name(found), UNCHECKED, words)


def _name(found: MachineLook) -> str:
    """The study and the time of a look."""
    time = found.content.get("time")
    day = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M") if isinstance(time, int | float) else "?"
    return f"look of {found.content['file'].split('/')[1]}, {day} UTC"
