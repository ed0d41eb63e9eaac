import pytest

from harness.store.results import FitFacts

# What a stack of the version before this one wrote.
STORED = {
    "device": "NVIDIA H100", "torch": "2.10.0", "threads": "4", "code": "59542b8dbc1df91b",
    "versions": "torch 2.10.0, timm 1.0.31", "fold_digest": "8f23d4927eaea5f4", "precision": "bf16", "compile": "off",
    "stack": "e988cb88017ff169 b7f133c41f38174d", "seconds": 3.5, "parameters": 100222, "trained_parameters": 222,
    "backbone_passes": 0, "extraction_seconds": 12.25,
}  # fmt: skip


def test_stored_facts_are_read_by_type_and_written_back_as_they_were() -> None:
    facts = FitFacts.from_json(STORED)
    assert (facts.threads, facts.stack) == (4, ("e988cb88017ff169", "b7f133c41f38174d"))
    assert (facts.backbone_passes, facts.seconds, facts.micro_batch) == (0, 3.5, None)
    assert list(facts.to_json().items()) == list(STORED.items())


def test_the_sentence_of_a_divided_batch_is_read_as_its_numbers() -> None:
    stored = STORED | {"accumulation": "32 images at a time, of a batch of 256"}
    facts = FitFacts.from_json(stored)
    assert (facts.micro_batch, facts.batch_size) == (32, 256)
    assert facts.to_json() == stored


def test_the_costs_of_a_fit_are_stored_where_they_are_known() -> None:
    new = STORED | {"flops": 31_850_496, "peak_memory": 2**30, "energy_wh": 0.25}
    assert FitFacts.from_json(new).to_json() == new
    older = FitFacts.from_json(STORED)
    assert (older.flops, older.peak_memory, older.energy_wh) == (None, None, None)


@pytest.mark.parametrize("key", ["threads", "code", "versions", "fold_digest", "compile", "stack", "backbone_passes"])
def test_older_facts_are_read_without_what_they_lack(key: str) -> None:
    older = {name: value for name, value in STORED.items() if name != key}
    facts = FitFacts.from_json(older)
    assert not getattr(facts, key)
    assert facts.to_json() == older


def test_facts_of_a_newer_version_are_read_without_what_is_not_known_here() -> None:
    assert FitFacts.from_json(STORED | {"watts": 300.0}) == FitFacts.from_json(STORED)
