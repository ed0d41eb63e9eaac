"""The layers of a learning rate that decays, against timm's own groups of a network with its classifier."""

import pytest
import timm
from timm.optim._param_groups import param_groups_layer_decay

from harness.errors import HarnessError
from harness.models.layer_depths import layer_depths
from harness.models.networks import new_network

DECAY = 0.5


@pytest.mark.parametrize(
    "name", ["test_resnet", "test_vit", "test_vit2", "test_efficientnet", "test_convnext", "test_mambaout"]
)
def test_each_layer_has_the_share_that_timm_gives_it_in_front_of_its_classifier(name: str) -> None:
    whole, bare = timm.create_model(name), new_network(name, 160)
    names = {parameter: name for name, parameter in whole.named_parameters()}
    groups = param_groups_layer_decay(whole, layer_decay=DECAY)
    theirs = {names[parameter]: group["lr_scale"] for group in groups for parameter in group["params"]}
    ours = {name: DECAY**depth for name, depth in layer_depths(bare, name).items()}
    assert ours == {name: theirs[name] for name, _ in bare.named_parameters()}
    assert len({*ours.values()}) > 2


def test_a_network_of_which_timm_names_no_layers_is_refused() -> None:
    with pytest.raises(HarnessError, match="timm names no layers of poolformer_s12; write layer_decay: 1"):
        layer_depths(new_network("poolformer_s12", 224), "poolformer_s12")
