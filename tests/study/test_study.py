from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import DataError, HarnessError, LeakageError, StudyError
from harness.study import Study, load_study
from harness.study.messages import unknown
from harness.study.settings import Settings

LoadText = Callable[..., Study]

TEXT = """\
study: demo
data:
  source: folder
  path: images
folds: {k: 3}
base:
  backbone: resnet18
  epochs: 2
stages:
  - name: heads
    grid:
      head: [dropout-gap, batchnorm-gap]
    select: {metric: val/accuracy}
  - name: depths
    grid: {backbone: [resnet18, resnet34]}
test: {stages: [heads]}
"""


def test_a_short_file_has_the_defaults(study_of: LoadText) -> None:
    study = study_of("study: s\ndata: {source: phantom}\nbase: {backbone: resnet18}\nstages: [{name: only}]\n")
    assert (study.seed, study.folds.k, study.folds.repeats, study.folds.grouped) == (0, 3, 1, True)
    assert (study.data.image_size, study.data.limit, study.data.val, study.data.phantom.train) == (
        224,
        None,
        "ignore",
        480,
    )
    assert study.base == Settings(
        backbone="resnet18", weights="pretrained", trainable="all", head="dropout-gap", dropout=0.5,
        oversampling="none",
        epochs=15, batch_size=64, optimizer="adam", learning_rate=1e-4, weight_decay=0.0, precision="auto",
        select_epoch="last", image_size=None,
    )  # fmt: skip
    assert study.stages[0].size == 1
    assert study.stages[0].select is None
    assert study.test is None


def test_a_file_is_read_as_written(study_of: LoadText) -> None:
    study = study_of(TEXT)
    assert study.study == "demo"
    assert (study.data.source, study.data.path) == ("folder", str(study.folder / "images"))
    assert study.base.epochs == 2
    assert [(stage.name, stage.grid, stage.size) for stage in study.stages] == [
        ("heads", {"head": ["dropout-gap", "batchnorm-gap"]}, 2),
        ("depths", {"backbone": ["resnet18", "resnet34"]}, 2),
    ]
    assert study.test is not None
    assert (study.test.stages, study.test.model) == (["heads"], "refit")
    assert study.factors == ["head", "backbone"]
    assert study.stage("depths") is study.stages[1]
    with pytest.raises(KeyError):
        study.stage("nothing")


def test_a_grid_s_size_is_the_product_of_its_factors(study_of: LoadText) -> None:
    study = study_of(TEXT, "stages.1.grid={epochs: [1, 2, 3], dropout: [0.1, 0.2], batch_size: [8]}")
    assert study.stages[1].size == 6


@pytest.mark.parametrize(("metric", "maximize"), [
    ("val/accuracy", True), ("val/roc_auc", True), ("val/mcc", True), ("val/specificity", True),
    ("val/loss", False), ("val/brier", False), ("val/ece", False),
])  # fmt: skip
def test_losses_and_calibration_errors_are_minimised(study_of: LoadText, metric: str, maximize: bool) -> None:
    select = study_of(TEXT, f"stages.0.select.metric={metric}").stages[0].select
    assert select is not None
    assert select.maximize is maximize


def test_settings_are_the_base_and_every_level_over_it(study_of: LoadText) -> None:
    found = [(field, s.head, s.backbone) for field, s in study_of(TEXT).settings()]
    assert found == [
        (("base",), "dropout-gap", "resnet18"),
        (("stages", 0, "grid", "head", 0), "dropout-gap", "resnet18"),
        (("stages", 0, "grid", "head", 1), "batchnorm-gap", "resnet18"),
        (("stages", 1, "grid", "backbone", 0), "dropout-gap", "resnet18"),
        (("stages", 1, "grid", "backbone", 1), "dropout-gap", "resnet34"),
    ]


@pytest.mark.parametrize("name", ["a", "A.b_c-9", ".a", "x" * 64, "..a"])
def test_names_of_letters_digits_dots_dashes_are_allowed(study_of: LoadText, name: str) -> None:
    assert study_of(TEXT, f"study='{name}'").study == name


ONE_GRID = "      head: [dropout-gap, batchnorm-gap]\n"
THOUSAND = ", ".join(map(str, range(1, 1001)))
HUGE = "".join(f"      {key}: [{THOUSAND}]\n" for key in ("epochs", "batch_size", "learning_rate"))
NAME_RULE = "a name has 1 to 64 letters, digits, '.', '_' or '-', and not only dots"

# what is replaced, by what; the line, the field, and a piece of the message of the error
MALFORMED = [
    ("study: demo\n", "", 1, "study", "this key is missing"),
    ("study: demo", "study:", 1, "study", "null is given; input should be a valid string"),
    ("study: demo", "study: 5", 1, "study", "5 is given; input should be a valid string"),
    ("study: demo", "study: no way", 1, "study", f"'no way' is given; {NAME_RULE}"),
    ("study: demo", "study: ..", 1, "study", NAME_RULE),
    ("study: demo", "study: .", 1, "study", NAME_RULE),
    ("study: demo", "study: ''", 1, "study", NAME_RULE),
    ("study: demo", "study: ../up", 1, "study", NAME_RULE),
    ("study: demo", "study: a/b", 1, "study", NAME_RULE),
    ("study: demo", 'study: "a\\n"', 1, "study", NAME_RULE),
    ("study: demo", 'study: "a\\0"', 1, "study", NAME_RULE),
    ("study: demo", "study: é", 1, "study", NAME_RULE),
    ("study: demo", "study: " + "x" * 65, 1, "study", NAME_RULE),
    ("study: demo", "study: " + "x" * 500, 1, "study", "xxx... is given; a name has"),
    ("study: demo", "study: demo\nstudy: demo", 2, "study", "this key is given twice"),
    ("study: demo", "study: demo\nseed: -1", 2, "seed", "-1 is given; input should be greater than or equal to 0"),
    ("study: demo", "study: demo\nseed: 012", 2, "seed", "'012' is given; input should be a valid integer"),
    ("study: demo", "study: demo\nseed: 1.0", 2, "seed", "1.0 is given; input should be a valid integer"),
    ("study: demo", "study: demo\nseed: " + "9" * 5000, 2, "seed", "not a number that can be read"),
    ("study: demo", "study: demo\n5: x", 2, "the file", "a key is a plain word"),
    ("source: folder", "source: Folder", 3, "data.source", "Folder is given; allowed: folder, "),
    ("source: folder", "source: folder\n  source: folder", 4, "data.source", "this key is given twice"),
    ("  source: folder\n", "", 2, "data.source", "this key is missing"),
    ("path: images", "path: [images]", 4, "data.path", "['images'] is given; input should be a valid string"),
    ("path: images", "pth: images", 4, "data.pth", "unknown key 'pth'; did you mean path?"),
    ("{stages: [heads]}", "{stages: [heads], refits: 0}", 16, "test.refits", "0 is given; input should be greater"),
    ("{stages: [heads]}", "{stages: [heads], refits: 21}", 16, "test.refits", "21 is given; input should be less"),
    ("{stages: [heads]}", "{stages: [heads], refits: 2, model: folds}", 16, "test",
     "refits: 2 with model: folds, which refits nothing; write model: refit"),
    ("path: images", "image_size: 7", 4, "data.image_size", "greater than or equal to 8"),
    ("path: images", "image_size: 2049", 4, "data.image_size", "less than or equal to 2048"),
    ("path: images", "limit: 0", 4, "data.limit", "greater than or equal to 1"),
    ("path: images", "val: test", 4, "data.val", "test is given; allowed: ignore, train"),
    ("path: images", "phantom: {train: 7}", 4, "data.phantom.train", "greater than or equal to 8"),
    ("path: images", "phantom: {trein: 9}", 4, "data.phantom.trein", "did you mean train?"),
    ("{k: 3}", "{k: 1}", 5, "folds.k", "1 is given; input should be greater than or equal to 2"),
    ("{k: 3}", "{k: three}", 5, "folds.k", "'three' is given; input should be a valid integer"),
    ("{k: 3}", "{k: true}", 5, "folds.k", "true is given; input should be a valid integer"),
    ("{k: 3}", "{grouped: no}", 5, "folds.grouped", "'no' is given; true or false is needed"),
    ("{k: 3}", "{grouped: 0}", 5, "folds.grouped", "0 is given; true or false is needed"),
    ("{k: 3}", "3", 5, "folds", "3 is given; a mapping is needed, such as {key: value}"),
    ("{k: 3}", "{folds: 3}", 5, "folds.folds", "unknown key 'folds'; allowed: k, repeats, grouped, seed"),
    ("  backbone: resnet18\n", "", 6, "base.backbone", "this key is missing"),
    ("backbone: resnet18", "backbone: ''", 7, "base.backbone", "'' is given; this may not be empty"),
    ("backbone: resnet18", "backbone: {a: 1}", 7, "base.backbone", "input should be a valid string"),
    ("epochs: 2", "epochs: '2'", 8, "base.epochs", "'2' is given; input should be a valid integer"),
    ("epochs: 2", "epochs: 0", 8, "base.epochs", "0 is given; input should be greater than or equal to 1"),
    ("epochs: 2", "epoch: 2", 8, "base.epoch", "unknown key 'epoch'; did you mean epochs"),
    ("epochs: 2", "zzz: 2", 8, "base.zzz", "unknown key 'zzz'; allowed: backbone, weights, trainable"),
    ("epochs: 2", "weights: net.pth", 8, "base.weights", "allowed: pretrained, none, or the path of a .safeten"),
    ("epochs: 2", "dropout: 1", 8, "base.dropout", "less than 1"),
    ("epochs: 2", "dropout: .nan", 8, "base.dropout", "'.nan' is given; input should be a valid number"),
    ("epochs: 2", "learning_rate: 0", 8, "base.learning_rate", "0 is given; input should be greater than 0"),
    ("epochs: 2", "learning_rate: 1e999", 8, "base.learning_rate", "input should be a finite number"),
    ("epochs: 2", "oversampling: smite", 8, "base.oversampling", "'smite' is given; allowed: none, random"),
    ("epochs: 2", "optimizer: SGD", 8, "base.optimizer", "'SGD' is given; allowed: adam, adamw, sgd, another"),
    ("epochs: 2", "loss: mse", 8, "base.loss", "'mse' is given; allowed: cross-entropy, class-weighted, eff"),
    ("epochs: 2", "batch_size: 1", 8, "base.batch_size", "greater than or equal to 2"),
    ("name: heads", "name: a b", 10, "stages[0].name", NAME_RULE),
    ("name: depths", "name: heads", 14, "stages[1].name", "another stage is called heads already"),
    (ONE_GRID, "      head: []\n", 12, "stages[0].grid.head", "[] is given; the least number of entries is 1"),
    (ONE_GRID, "      head: dropout-gap\n", 12, "stages[0].grid.head", "a list is needed, such as [a, b]"),
    (ONE_GRID, "      head: [a, b, a]\n", 12, "stages[0].grid.head[2]", "a stands in this list twice"),
    (ONE_GRID, "      heads: [a]\n", 12, "stages[0].grid.heads", "unknown factor 'heads'; did you mean head or head_"),
    (ONE_GRID, "      lr: [1]\n", 12, "stages[0].grid.lr", "unknown factor 'lr'; allowed: backbone, weights"),
    (ONE_GRID, "      epochs:\n      - 1\n      - 0\n", 14, "stages[0].grid.epochs[1]", "greater than or equal to 1"),
    (ONE_GRID, "      epochs: [1, true]\n", 12, "stages[0].grid.epochs[1]", "true is given; input should be a valid"),
    (ONE_GRID, "      dropout: ['0.1']\n", 12, "stages[0].grid.dropout[0]", "'0.1' is given; input should be a valid"),
    (ONE_GRID, "      head: [[a]]\n", 12, "stages[0].grid.head[0]", "['a'] is given; input should be a valid string"),
    (ONE_GRID, "      oversampling: [none, both]\n", 12, "stages[0].grid.oversampling[1]", "'both' is given; allowed"),
    (ONE_GRID, HUGE, 11, "stages[0].grid", "1,000,000,000 scenarios; at most 100,000 are allowed"),
    (ONE_GRID, "      1: [a]\n", 12, "stages[0].grid", "a key is a plain word"),
    ("{metric: val/accuracy}", "{metric: accuracy}", 13, "stages[0].select.metric", "accuracy is given; allowed: val/"),
    ("{metric: val/accuracy}", "{metric: test/accuracy}", 13, "stages[0].select.metric", "allowed: val/loss, val/acc"),
    ("{metric: val/accuracy}", "{cost: flops}", 13, "stages[0].select", "flops is for `rule: cheapest-equivalent`"),
    ("{metric: val/accuracy}", "{metrics: val/loss}", 13, "stages[0].select.metrics", "did you mean metric?"),
    ("{stages: [heads]}", "{stages: [head]}", 16, "test.stages[0]", "unknown stage 'head'; did you mean heads?"),
    ("{stages: [heads]}", "{stages: [heads, depths]}", 16, "test.stages[1]", "stage depths selects no winner; give it"),
    ("{stages: [heads]}", "{stages: heads}", 16, "test.stages", "'heads' is given; a list is needed"),
    ("{stages: [heads]}", "{stages: []}", 16, "test.stages", "the least number of entries is 1"),
    ("{stages: [heads]}", "{model: refit}", 16, "test.stages", "this key is missing"),
    ("epochs: 2", "oversampling: random-before-split", 13, "stages[0].select", "one that leaks is never selected"),
    (ONE_GRID, "      oversampling: [random-before-split]\n", 13, "stages[0].select", "that leaks is never selected"),
    ("{stages: [heads]}", "{stages: [heads], scenarios: best}", 16, "test.scenarios", "best is given; allowed: winner"),
    ("{stages: [heads]}", "{stages: [heads], model: best}", 16, "test.model", "best is given; allowed: refit, folds"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "field", "message"), MALFORMED)
def test_a_wrong_file_is_refused_with_line_and_field(
    tmp_path: Path, study_of: LoadText, old: str, new: str, line: int, field: str, message: str
) -> None:
    assert TEXT.count(old) >= 1
    with pytest.raises(StudyError) as caught:
        study_of(TEXT.replace(old, new, 1))
    told = str(caught.value)
    assert told.startswith(f"{tmp_path / 'study.yaml'}:{line}: {field}: ")
    assert message in told
    assert "\n" not in told


@pytest.mark.parametrize(
    ("old", "new", "rest"),
    [
        ("study: demo", "studdy: demo", "1: studdy: unknown key 'studdy'; did you mean study?"),
        ("name: heads", "nam: heads", "10: stages[0].nam: unknown key 'nam'; did you mean name?"),
        ("{stages: [heads]}", "{stage: [heads]}", "16: test.stage: unknown key 'stage'; did you mean stages?"),
    ],
)
def test_a_misspelt_key_that_is_needed_gets_a_suggestion(
    tmp_path: Path, study_of: LoadText, old: str, new: str, rest: str
) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(TEXT.replace(old, new))
    assert str(caught.value) == f"{tmp_path / 'study.yaml'}:{rest}"


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "demo\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(study_of: LoadText, text: str) -> None:
    with pytest.raises(StudyError, match=r"study\.yaml:1: a study is a mapping that starts with `study: NAME`$"):
        study_of(text)


def test_a_stage_list_must_not_be_empty(tmp_path: Path, study_of: LoadText) -> None:
    with pytest.raises(StudyError) as caught:
        study_of("study: s\ndata: {source: phantom}\nbase: {backbone: resnet18}\nstages: []\n")
    assert str(caught.value).startswith(f"{tmp_path / 'study.yaml'}:4: stages: [] is given; ")


def test_an_error_about_a_strange_key_is_one_line(study_of: LoadText) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(TEXT + '"a\\nb": 1\n')
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("study=other", "study", "other"),
        ("base.epochs=7", "base.epochs", 7),
        ("base.learning_rate=1e-3", "base.learning_rate", 0.001),
        ("base.weights=/a/b=c.safetensors", "base.weights", "/a/b=c.safetensors"),
        ("data.limit=200", "data.limit", 200),
        ("data.path=null", "data.path", None),
        ("data.phantom.train=16", "data.phantom.train", 16),
        ("folds.grouped=false", "folds.grouped", False),
        ("stages.0.grid.head=[a, b]", "stages.0.grid.head", ["a", "b"]),
        ("stages.0.grid.head.1=c", "stages.0.grid.head", ["dropout-gap", "c"]),
        ("stages.1.grid.epochs=[1, 2]", "stages.1.grid", {"backbone": ["resnet18", "resnet34"], "epochs": [1, 2]}),
        ("stages.1.name=new", "stages.1.name", "new"),
        ("stages.0.select=null", "stages.0.select", None),
    ],
)
def test_set_gives_a_field_another_value(study_of: LoadText, override: str, field: str, value: object) -> None:
    study: Any = study_of(TEXT, override, "test=null")
    for part in field.split("."):
        study = study[int(part)] if isinstance(study, list) else dict(study)[part]
    assert study == value
    assert type(study) is type(value)


def test_of_two_overrides_the_later_holds(study_of: LoadText) -> None:
    assert study_of(TEXT, "base.epochs=7", "base.epochs=9").base.epochs == 9


def test_a_data_path_holds_over_file_and_override(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(TEXT)
    assert load_study(tmp_path / "study.yaml", ["data.path=b"], "c").data.path == str(Path("c").absolute())


@pytest.mark.parametrize(
    ("override", "rest"),
    [
        ("base.epochs", "expected KEY=VALUE, such as base.epochs=1"),
        ("", "expected KEY=VALUE"),
        ("=5", "expected KEY=VALUE"),
        ("base.epochs=0", "base.epochs: 0 is given; input should be greater than or equal to 1"),
        ("base.epochs=", "base.epochs: null is given; input should be a valid integer"),
        ("base.epoch=1", "base.epoch: unknown key 'epoch'; did you mean epochs"),
        ("xyz=1", "xyz: unknown key 'xyz'; allowed: study, description"),
        ("study.x=1", "study.x: no such field in the study file"),
        ("stages.7.name=x", "stages[7]: no such field in the study file"),
        ("stages.first.name=x", "stages.first: no such field in the study file"),
        ("stages.-1.name=x", "stages.-1: no such field in the study file"),
        ("0.x=1", "[0]: no such field in the study file"),
        ("stages.0.grid.lr=[1]", "stages[0].grid.lr: unknown factor 'lr'"),
        ("stages.1.grid.epochs=[1, 0]", "stages[1].grid.epochs[1]: 0 is given; "),
        ("data.limit=-1", "data.limit: -1 is given; input should be greater than or equal to 1"),
    ],
)
def test_an_error_in_an_override_names_the_option(study_of: LoadText, override: str, rest: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(TEXT, override)
    assert str(caught.value).startswith(f"--set {override}: {rest}")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("base.epochs=[1", "expected ',' or ']'"),
        ("base={epochs: 1, epochs: 2}", "this key is given twice"),
        ("base.head=*x", "anchors and aliases are not allowed"),
        ("base.head=!!str x", "the tag"),
    ],
)
def test_the_value_of_an_override_is_plain_data_too(study_of: LoadText, override: str, message: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(TEXT, override)
    assert str(caught.value).startswith(f"--set {override}")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("override", "rest"),
    [
        ("stages.0.grid.head=[a, 5]", "stages[0].grid.head[1]: 5 is given"),
        ("base={backbone: 5}", "base.backbone: 5 is given"),
        ("foo.bar=1", "foo: unknown key 'foo'"),
    ],
)
def test_an_error_within_a_replaced_block_names_the_option(study_of: LoadText, override: str, rest: str) -> None:
    with pytest.raises(StudyError) as caught:
        study_of(TEXT, override)
    assert str(caught.value).startswith(f"--set {override}: {rest}")


def test_an_error_about_the_data_path_option_names_it(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(TEXT)
    study = load_study(tmp_path / "study.yaml", data_path="elsewhere")
    assert str(study.error(("data", "path"), "is no folder")) == "--data elsewhere: data.path: is no folder"


def test_an_error_names_the_nearest_line_that_is_there(tmp_path: Path, study_of: LoadText) -> None:
    study, file = study_of(TEXT), tmp_path / "study.yaml"
    assert str(study.error(("folds", "k"), "x")) == f"{file}:5: folds.k: x"
    assert str(study.error(("base", "head"), "x")) == f"{file}:6: base.head: x"
    assert str(study.error(("seed",), "x")) == f"{file}:1: seed: x"


def test_an_error_about_the_data_is_given_its_place(tmp_path: Path, study_of: LoadText) -> None:
    study, file = study_of(TEXT), tmp_path / "study.yaml"
    for kind in (HarnessError, DataError, LeakageError):
        with pytest.raises(HarnessError) as told, study.blamed("data", "path"):
            raise kind("not there")
        assert type(told.value) is kind
        assert str(told.value) == f"{file}:4: data.path: not there"
    with pytest.raises(DataError) as caught, study.blamed("data", "path"):
        raise DataError("does not fit", ("folds", "k"))
    assert str(caught.value) == f"{file}:5: folds.k: does not fit"


@pytest.mark.parametrize(
    ("given", "allowed", "text"),
    [
        ("hed", ["head", "epochs"], "unknown key 'hed'; did you mean head?"),
        ("gap", ["dropout-gap", "batchnorm-gap"], "unknown key 'gap'; allowed: dropout-gap, batchnorm-gap"),
        ("b", [f"x{n}" for n in range(30)], "unknown key 'b'; allowed: " + ", ".join(f"x{n}" for n in range(20))),
    ],
)
def test_an_unknown_name_gets_a_suggestion_or_the_list(given: str, allowed: list[str], text: str) -> None:
    assert unknown("key", given, allowed) == text


anything = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
pieces = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["{", "}", "[", "]", ": ", "\n", "- ", "&a ", "*a", "!!x ", "'", '"', "#", "0", "1e9", "true", "~", "\0"]
    ),
)
mutated = st.builds(
    lambda start, length, piece: (TEXT[:start] + piece + TEXT[start + length :]).encode(),
    st.integers(0, len(TEXT)), st.integers(0, 20), pieces,
)  # fmt: skip


@anything
@given(st.text().map(str.encode) | st.binary() | mutated)
def test_any_file_gives_a_study_or_an_error_of_one_kind(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "study.yaml"
    file.write_bytes(content)
    try:
        assert isinstance(load_study(file), Study)
    except StudyError as error:
        assert str(error).startswith(f"{file}:")


keys = st.sampled_from(["study", "data", "base", "stages", "grid", "head", "epochs", "0", "1", "9", "", "test"])
paths = st.lists(keys | st.text(max_size=3), min_size=1, max_size=4).map(".".join)


@anything
@given(st.text() | st.builds(lambda key, value: f"{key}={value}", paths, pieces))
def test_any_override_gives_a_study_or_an_error_of_one_kind(tmp_path: Path, override: str) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(TEXT)
    try:
        assert isinstance(load_study(file, [override]), Study)
    except StudyError as error:
        assert str(error).startswith((f"{file}:", "--set "))


@pytest.mark.parametrize("index", ["²", "9" * 5000])
def test_an_index_that_is_no_number_is_refused(study_of: LoadText, index: str) -> None:
    with pytest.raises(StudyError, match=r"^--set .*no such field in the study file$"):
        study_of(TEXT, f"stages.{index}.name=x")


AUGMENT_PROBLEM = "with trainable head: the features of a frozen backbone are computed once for each image"


@pytest.mark.parametrize(
    ("overrides", "field"),
    [
        (["base.trainable=head", "base.augment=flip"], "base.augment"),
        (["base.trainable=head", "stages.0.grid={augment: [none, affine]}"], "stages[0].grid.augment"),
        (["base.augment=flip", "stages.1.grid={trainable: [last-1, head]}"], "stages[1].grid.trainable"),
        (["stages.0.grid={augment: [none, flip], trainable: [all, head]}"], "stages[0].grid.trainable"),
        (["stages.0.grid={augment: [none, flip]}", "stages.1.grid={trainable: [all, head]}"],
         "stages[1].grid.trainable"),
        (["search={space: {trainable: {choices: [all, head]}, augment: {choices: [none, flip]}}, trials: 2}"],
         "search.space.augment"),
        (["base.augment=flip", "search={space: {trainable: {choices: [all, head]}}, trials: 2}"],
         "search.space.trainable"),
        (["search={space: {trainable: {choices: [all, head]}, augment: {choices: [none, flip],"
          " when: {trainable: [head]}}}, trials: 2}"], "search.space.augment"),
    ],
)  # fmt: skip
def test_augmentation_of_a_frozen_backbone_is_refused_with_the_reason(
    study_of: LoadText, overrides: list[str], field: str
) -> None:
    with pytest.raises(StudyError, match=AUGMENT_PROBLEM) as caught:
        study_of(TEXT, *overrides)
    assert f" {field}: " in str(caught.value)


@pytest.mark.parametrize(
    "overrides",
    [
        ["base.augment=flip+affine", "base.trainable=last-2"],
        ["base.trainable=head", "base.augment=flip", "stages.0.grid={augment: [none]}"],  # the base alone is never run
        ["stages.0.grid={trainable: [all, head]}", "stages.1.grid={trainable: [all], augment: [none, flip]}"],
        ["search={space: {trainable: {choices: [all, head, last-1]}, augment: {choices: [none, flip],"
         " when: {trainable: [all, last-1]}}}, trials: 2}"],
    ],
)  # fmt: skip
def test_augmentation_is_allowed_where_no_scenario_freezes_the_whole_backbone(
    study_of: LoadText, overrides: list[str]
) -> None:
    study_of(TEXT, *overrides)


@pytest.mark.parametrize(
    ("overrides", "field", "problem"),
    [
        (["base.epochs=2", "base.warmup=2"], "base.warmup", "warmup 2 with epochs 2: .* write a warmup of fewer"),
        (["base.warmup=2.5", "stages.0.grid={epochs: [2, 3]}"], "stages[0].grid.epochs", "warmup 2.5 with epochs 2"),
        (["base.schedule=one-cycle", "base.warmup=0.5"], "base.warmup", "a rise of its own; write warmup: 0, or s"),
        (["base.warmup=-1"], "base.warmup", "greater than or equal to 0"),
        (["base.schedule=cosin"], "base.schedule", "allowed: constant, cosine, linear, step, one-cycle"),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(
    study_of: LoadText, overrides: list[str], field: str, problem: str
) -> None:
    with pytest.raises(StudyError, match=problem) as caught:
        study_of(TEXT, *overrides)
    assert f"{field}: " in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["base.label_smoothing=0.1", "base.loss=focal"], "label_smoothing 0.1 with loss focal, .*; write label_sm"),
        (["base.label_smoothing=0.1", "base.loss=my:Own"], "label_smoothing 0.1 with loss my:Own"),
        (["base.label_smoothing=1"], "less than 1"),
        (["base.clip=-1"], "greater than or equal to 0"),
        (["base.ema=1"], "less than 1"),
        (["base.layer_decay=0"], "greater than 0"),
        (["base.layer_decay=0.7", "base.trainable=head"], "layer_decay 0.7 with trainable head: .*; write layer_d"),
        (["base.layer_decay=0.7", "base.backbone=small-cnn"], "with backbone small-cnn: only of timm's networks"),
        (["base.drop_path=1"], "less than 1"),
        (["base.mixup=-1"], "greater than or equal to 0"),
        (["base.mixup=0.2", "base.trainable=head"], "mixup 0.2 with trainable head: .*; write mixup: 0, or trainable"),
        (["base.cutmix=1", "base.loss=focal"], "cutmix 1 with loss focal, .*; write cutmix: 0, or loss: cross-entr"),
        (["base.drop_path=0.1", "base.trainable=head"], "drop_path 0.1 with trainable head: .*; write drop_path: 0,"),
        (["base.drop_path=0.1", "base.backbone=small-cnn"], "drop_path 0.1 with backbone small-cnn"),
        (["base.layer_decay=0.7", "base.optimizer=my:Own"], "layer_decay 0.7 with optimizer my:Own"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(study_of: LoadText, overrides: list[str], problem: str) -> None:
    field = overrides[0].partition("=")[0]
    with pytest.raises(StudyError, match=problem) as caught:
        study_of(TEXT, *overrides)
    assert f"{field}: " in str(caught.value)


@pytest.mark.parametrize(
    "trainable", ["last-0", "last", "last-", "last-1.5", "last-100", "none", "All", "last-1\n", "lora", "lora-0",
                  "lora-257", "lora-08", "lora-4.5"],
)  # fmt: skip
def test_what_is_trained_is_all_head_the_last_stages_or_adapters(study_of: LoadText, trainable: str) -> None:
    with pytest.raises(StudyError, match=r"base.trainable: .*allowed: all, head \(frozen backbone\), last-N .*lora-R"):
        study_of(TEXT, f"base.trainable={trainable!r}")


@pytest.mark.parametrize("backbone", ["test_resnet", "small-cnn", "som"])
@pytest.mark.parametrize("own", [None, 64])
def test_resolved_settings_have_the_fields_of_the_study_file_and_an_image_size(backbone: str, own: int | None) -> None:
    given = Settings(backbone=backbone, trainable="head", epochs=3, image_size=own)
    resolved = given.resolved(32)
    assert resolved.image_size == (own or 32)
    asked, found = given.model_dump(), resolved.model_dump()
    assert list(found) == list(asked)
    built_in = {"weights", "trainable"} | ({"head"} if backbone == "som" else set())
    changed = {name for name in asked if asked[name] != found[name]}
    assert changed == {"image_size", "pool"} - ({"image_size"} if own else set()) | (
        built_in if backbone != "test_resnet" else set()
    )
    assert resolved.resolved(99) == resolved
