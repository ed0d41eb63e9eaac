from tests.faults.fuzz import fuzz


def test_spoilt_study_files_are_read_or_refused_in_one_line() -> None:
    assert fuzz(seed=12345, count=300) == 300
