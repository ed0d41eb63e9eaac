import pytest

from tests.faults.rig import Rig


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    """Runs of the small study in processes of their own."""
    return Rig(tmp_path_factory.mktemp("faults"))
