"""Which layers adapters go into, by the shapes of networks alone."""

import pytest

from harness.models.anatomy import anatomy
from harness.models.examine import check_network
from harness.models.network_check import NetworkSettings


@pytest.mark.parametrize(
    ("name", "size", "called", "not_called"),
    [
        ("test_vit", 64, {"qkv", "proj"}, set()),
        ("beit_base_patch16_224", 64, {"proj"}, {"qkv"}),
        ("xcit_nano_12_p8_224", 64, {"qkv", "proj", "q", "k", "v"}, set()),  # and no mlp of its class attention
        ("test_resnet", 64, set(), set()),
        ("resnet50_clip", 64, set(), set()),  # attention in its pooling alone
    ],
)
def test_linear_layers_in_attention_are_found_in_every_block(
    name: str, size: int, called: set[str], not_called: set[str]
) -> None:
    known = anatomy(name, size, "native")
    found = {layer.name.rpartition(".")[2] for layer in known.attention if layer.called}
    assert found == called
    assert {layer.name.rpartition(".")[2] for layer in known.attention if not layer.called} == not_called
    assert all(known.read[f"{layer.name}.weight"] == layer.inputs * layer.outputs for layer in known.attention)


def checked(backbone: str, trainable: str) -> tuple[str, str, int, str]:
    check = check_network(NetworkSettings(backbone, "none", trainable, 64, "native"))
    return check.problem, check.stage, check.trained_parameters, check.unadapted


def test_the_plan_names_what_is_adapted_and_counts_it() -> None:
    one_block = 4 * (64 + 3 * 64) + 4 * (64 + 64)
    assert checked("test_vit", "lora-4") == ("", "attn.qkv, attn.proj", 6 * one_block, "")
    assert checked("beit_base_patch16_224", "lora-4") == ("", "attn.proj", 12 * 4 * (768 + 768), "attn.qkv")


@pytest.mark.parametrize(
    ("backbone", "rank", "stages"),
    [
        ("test_resnet", 8, "last-1 to last-4"),
        ("test_vit", 64, "last-1 to last-6"),
        ("test_vit", 256, "last-1 to last-6"),
    ],
)
def test_a_network_without_such_layers_is_refused(backbone: str, rank: int, stages: str) -> None:
    check = check_network(NetworkSettings(backbone, "none", f"lora-{rank}", 64, "native"))
    assert check.setting == "trainable"
    assert check.problem == (
        f"trainable lora-{rank}: {backbone} has no attention with linear layers of more than {rank} inputs and outputs;"
        f" allowed: head, {stages}, all, or a transformer"
    )


def test_without_peft_the_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.models.lora.find_spec", lambda _: None)
    problem, *_ = checked("test_vit", "lora-4")
    assert problem == "peft is not installed; pip install 'harness[peft]'"
