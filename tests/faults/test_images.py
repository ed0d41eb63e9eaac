"""A share of row 9; the kinds themselves are tested one by one in tests/data/test_bad_images.py."""

from tests.faults import images
from tests.faults.rig import Rig


def test_a_bad_image_stops_a_run_or_is_left_out_and_told_in_the_report(rig: Rig) -> None:
    assert images.bad_image(rig, "cut by two bytes") == 1
