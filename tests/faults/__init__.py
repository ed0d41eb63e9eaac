import pytest

# What they assert is explained as in a test file.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("changes", "disk", "failures", "hostile", "images", "kills", "workers"))
)
