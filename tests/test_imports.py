"""The import table of the design, held against the code."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import SMALL_STUDY, Finished

PACKAGE = Path(__file__).parents[1] / "harness"
MODULES = sorted(PACKAGE.rglob("*.py"))

# Imports go down this list only. A package is one room; within it no two modules import each other.
ROOMS = (
    "cli", "interface", "study_results", "search", "reproduce", "suite", "runner", "doctor", "tracking", "serving",
    "execution", "training", "report", "prepare", "data", "models", "study", "store", "stats", "processes", "errors",
)  # fmt: skip

# library -> the only places that may import it
LIBRARIES = {
    "torch": ("training", "models", "data.pixels", "execution.probe", "serving"),
    "safetensors": ("training", "models", "serving"),
    "timm": ("models",),
    "transformers": ("models.from_transformers",),
    "open_clip": ("models.from_open_clip",),
    "peft": ("models.lora",),
    "onnx": ("serving.onnx",),
    "onnxruntime": ("serving.onnx",),
    "mlflow": ("tracking",),
    "optuna": ("search",),
    "psutil": ("tracking.system_metrics",),
    "pynvml": ("training.nvidia", "tracking.system_metrics"),
    "ray": ("execution.ray", "execution.ray_workers", "execution.ray_files"),
    "torchvision": ("training.rand_augment",),
    "lightning": (),
    "skorch": (),
    "matplotlib": ("report",),
    "rocrate": ("report.published.crate",),
    "imblearn": ("data",),
    "cleanlab": ("stats.label_quality",),
    "minisom": ("models.baselines",),
    "kagglehub": ("data.sources",),
    "huggingface_hub": ("models",),
    "typer": ("cli",),
    "rich": ("execution.progress", "execution.lasting_console", "cli.show"),
    "yaml": ("study.strict_yaml", "tracking.root_run", "search.confirm"),
    "pydantic": ("serving.classifier", "study", "report.numbers.records"),
}  # fmt: skip
HEAVY = {
    "torch",
    "timm",
    "transformers",
    "open_clip",
    "peft",
    "mlflow",
    "optuna",
    "ray",
    "matplotlib",
    "pandas",
    "sklearn",
    "scipy",
    "rich",
}


def name_of(file: Path) -> str:
    """`data.cache` for harness/data/cache.py."""
    return ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(file: Path) -> frozenset[str]:
    """All that a module imports when it runs, at its top or in a function: `harness.data.pixels`, `torch.nn`."""
    found: set[str] = set()
    for node in _running(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below, without what stands there for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


@cache
def own(file: Path) -> frozenset[str]:
    """The modules of the harness that a module imports."""
    names = {name_of(module) for module in MODULES}
    found = {name.removeprefix("harness.") for name in imports(file) if name.startswith("harness.")}
    return frozenset(name if name in names else name.rpartition(".")[0] for name in found) - {""}


def layer(module: str) -> int:
    top = module.partition(".")[0]
    assert top in ROOMS, f"harness/{top} has no place in ROOMS"
    return ROOMS.index(top)


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def test_the_code_is_found() -> None:
    assert {"cli", "data", "data.folds", "models.heads"} <= {name_of(file) for file in MODULES}
    assert {"models.backbone", "data.pixels", "study.plan"} <= own(PACKAGE / "training" / "features.py")
    assert "runner" in own(PACKAGE / "cli" / "run.py"), "an import inside a function counts"
    assert "runner" not in own(PACKAGE / "cli" / "show" / "runs.py"), "an import for type checkers does not"


@pytest.mark.parametrize(
    "library",
    LIBRARIES,
)
def test_a_library_is_imported_only_where_the_table_says(library: str) -> None:
    users = [name_of(file) for file in MODULES if any(name.partition(".")[0] == library for name in imports(file))]
    assert [user for user in users if not within(user, LIBRARIES[library])] == []


@pytest.mark.parametrize("file", [file for file in MODULES if name_of(file) != "__init__"], ids=name_of)
def test_imports_go_down_the_list_only(file: Path) -> None:
    module = name_of(file)
    package = module.partition(".")[0]
    upward = [
        name
        for name in own(file)
        if layer(name) <= layer(module) and (name.partition(".")[0] != package or name == module)
    ]
    assert upward == []


def test_no_two_modules_import_each_other() -> None:
    graph = {name_of(file): own(file) - {name_of(file)} for file in MODULES}
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)  # raises CycleError


def loaded_by(code: str) -> set[str]:
    """The top-level modules that a new Python has loaded after this code."""
    code += "\nprint('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("loaded:")[2].split())


@pytest.mark.parametrize("module", ["errors", "store", "study", "study.plan", "study.status"])
def test_the_light_modules_load_no_heavy_library(module: str) -> None:
    assert loaded_by(f"import harness.{module}") & HEAVY == set()


def test_the_command_line_loads_no_heavy_library_and_not_the_study() -> None:
    assert loaded_by("import harness.cli") & (HEAVY - {"rich"} | {"pydantic", "yaml", "numpy"}) == set()


def test_the_package_alone_loads_nothing() -> None:
    assert loaded_by("import harness; dir(harness)") & (HEAVY | {"pydantic", "yaml", "numpy", "typer"}) == set()


def test_a_report_is_made_without_torch_and_mlflow() -> None:
    loaded = loaded_by("import harness.report.write, harness.cli.show.runs")
    assert "pandas" in loaded
    assert loaded & {"torch", "timm", "mlflow"} == set()


def test_a_plan_is_made_without_torch(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(
        "study: demo\ndata: {source: phantom, phantom: {train: 24, test: 8}}\nfolds: {k: 2}\n"
        "base: {backbone: resnet50.tv_in1k}\nstages: [{name: all, grid: {head: [dropout-gap, batchnorm-gap]}}]\n"
    )
    arguments = ["harness", "plan", str(tmp_path / "study.yaml"), "--store", str(tmp_path / "store")]
    loaded = loaded_by(f"""
sys.argv = {arguments!r}
from harness.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
""")
    assert "harness" in loaded
    assert loaded & {"torch", "timm", "mlflow", "optuna", "ray", "matplotlib"} == set()
    assert (tmp_path / "store").is_dir(), "the plan was made"


@pytest.mark.parametrize(
    "command", [pytest.param("run", marks=pytest.mark.long), pytest.param("report", marks=pytest.mark.slow)]
)
def test_a_finished_study_loads_neither_torch_nor_matplotlib(finished: Finished, tmp_path: Path, command: str) -> None:
    store = finished.copy_to(tmp_path / "store").root
    (tmp_path / "small.yaml").write_text(SMALL_STUDY)
    arguments = ["harness", command, str(tmp_path / "small.yaml"), "--store", str(store)]
    code = f"""
sys.argv = {arguments!r}
from harness.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""
    loaded_by(code)  # the first writes the report, whose links are those of the copy
    assert loaded_by(code) & {"torch", "timm", "matplotlib", "sklearn"} == set()
