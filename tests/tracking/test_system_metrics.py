from harness.tracking.system_metrics import system_metrics


def test_the_load_has_the_names_of_mlflows_system_metrics() -> None:
    found = system_metrics()
    assert all(name.startswith("system/") for name in found)
    assert 0 <= found["system/cpu_utilization_percentage"] <= 100
    assert 0 < found["system/system_memory_usage_percentage"] < 100
    assert found["system/system_memory_usage_megabytes"] > 50
