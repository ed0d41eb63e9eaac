"""A share of rows 7, 9, 12 and 14. The kinds of bad images one by one: tests/data/test_bad_images.py."""

import pytest

from tests.faults import changes, disk, hostile, images
from tests.faults.rig import Rig


@pytest.mark.long
def test_a_full_disk_is_one_line_and_with_room_the_same_command_finishes(rig: Rig) -> None:
    try:
        assert disk.fill(rig, 0.5) == 1
    except PermissionError as error:
        pytest.skip(str(error))


@pytest.mark.long
def test_a_bad_image_stops_a_run_or_is_left_out_and_told_in_the_report(rig: Rig) -> None:
    assert images.bad_image(rig, "cut by two bytes") == 1


@pytest.mark.long
@pytest.mark.parametrize("name", ["byte of the weights", "fold of a stored fit"])
def test_a_byte_that_decides_numbers_makes_new_fits_or_is_refused(rig: Rig, name: str) -> None:
    assert changes.change(rig, name) == 1


@pytest.mark.parametrize(
    "name", ["pickle_renamed", "download_with_links", "pickle_in_a_model_folder", "password_in_a_traceback"]
)
def test_what_means_harm_runs_nothing_and_passwords_are_not_repeated(rig: Rig, name: str) -> None:
    assert hostile.hostile(rig, name) == 1
