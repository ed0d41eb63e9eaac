import pytest
import torch

from harness.errors import HarnessError
from harness.models.try_head import try_head
from harness.study.settings import Settings

OWN = Settings(backbone="test_resnet", head="own:Head", trainable="head")
HEAD = """\
import torch
from torch import nn
class Head(nn.Module):
    def __init__(self, shape, classes, settings):
        super().__init__()
        self.linear = nn.Linear(shape[0], classes)
    def forward(self, features):
        return self.linear(features.mean(dim=(2, 3)))
"""
LOGITS = "self.linear(features.mean(dim=(2, 3)))"


def attempt(source: str, trainable: str = "head") -> None:
    try_head(OWN.model_copy(update={"trainable": trainable}), source, (4, 3, 3), 2, "cpu")


def test_a_head_that_works_is_no_error_and_changes_no_random_number() -> None:
    state = torch.random.get_rng_state()
    attempt(HEAD)
    attempt(HEAD.replace(LOGITS, "features.mean(dim=(2, 3))[:, :2]"), trainable="all")
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (HEAD.replace("classes, settings", "classes"), r"TypeError: .* positional arguments"),
        (HEAD.replace("shape[0]", "shape[1]"), r"RuntimeError: .*mat1 and mat2"),
        (HEAD.replace("(self, features)", "(self, features, more)"), r"TypeError: .*'more'"),
        (HEAD.replace("nn.Module", "object"), r"own:Head is not a torch\.nn\.Module"),
        (HEAD.replace("features.mean(dim=(2, 3))", "features.mean(dim=(1, 2))"), "RuntimeError: .*mat1 and mat2"),
        (HEAD.replace("shape[0], classes", "shape[0], 1"), r"for 4 images it returns float32 of shape \[4, 1\]"),
        (HEAD.replace(LOGITS, f"{LOGITS}.argmax(1)"), r"for 4 images it returns int64 of shape \[4\]"),
        (HEAD.replace(LOGITS, f"[{LOGITS}]"), "it returns a list and not a tensor"),
        (HEAD.replace(LOGITS, f"{LOGITS} / 0"), "it returns values that are not finite"),
        (HEAD.replace(LOGITS, f"{LOGITS}.detach()"), "RuntimeError: element 0 of tensors does not require grad"),
        (HEAD.replace("Linear", "Linea"), "AttributeError: module 'torch.nn' has no attribute 'Linea'"),
        (HEAD + "    def reads(self):\n        return 'pixels'\n", "KeyError: 'pixels'"),
        (HEAD + "    def reads(self):\n        return 'means'\n", "IndexError: Dimension out of range"),
    ],
)
def test_a_head_that_fails_says_what_is_expected(source: str, words: str) -> None:
    expected = (
        r"; expected: a torch\.nn\.Module made by Head\(shape, classes, settings\) that turns features \[n, 4, 3, 3\]"
    )
    with pytest.raises(HarnessError, match=f"^own.py cannot be used: {words}.*{expected} into logits"):
        attempt(source)
