"""The audit finds slightly turned copies on request."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import draw_images
from tests.field.conftest import Harness, write_study

NAMES = [f"{split}/{label}/{split}{label}{n}.png" for split in ("train", "test") for label in "AB" for n in range(6)]


def test_the_audit_lays_alike_images_over_each_other_on_request(harness: Harness) -> None:
    root = draw_images(Path("d"), {name: seed for seed, name in enumerate(NAMES)})
    blobs = np.random.default_rng(3).integers(0, 255, (9, 9), dtype=np.uint8)
    scene = Image.fromarray(blobs).resize((128, 128), Image.Resampling.BICUBIC)
    scene.save(root / "train/A/scene.png")
    scene.rotate(3, resample=Image.Resampling.BICUBIC).save(root / "test/A/turned.png")
    write_study()
    without, asked = (json.loads(harness("audit", "s.yaml", "--json", *o).out)["findings"] for o in ((), ("--align",)))
    assert [f for f in asked if not f["name"].startswith("aligned")] == without
    across, whole = [f for f in asked if f["name"].startswith("aligned")]
    assert whole["text"].startswith("1 pair looks like slightly turned, resized or cropped copies, of ")
    assert (across["name"], across["severity"]) == ("aligned-across-splits", "warning")
    assert across["facts"] == {"count": 1, "first": [["train/A/scene.png", "test/A/turned.png"]]}
    assert "Look at the pairs, and remove copies" in " ".join(harness("audit", "s.yaml", "--align").out.split())
