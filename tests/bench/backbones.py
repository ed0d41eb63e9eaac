"""The table of timm's networks, as the harness reads them: `python -m tests.bench.backbones` writes it, in minutes.

Every name of timm is built by its shapes alone; of those that are built alike the smallest is looked at.
"""

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from torch import nn

from harness.errors import HarnessError
from harness.models.anatomy import Anatomy, anatomy, cached_anatomy
from harness.models.attention import AttentionLayer
from harness.models.names import all_backbones
from harness.models.networks import new_network
from harness.store.files import write_atomic
from harness.study.allowed import CLASSIFIERS, NETWORKS
from tests.bench.pooling import pooling_of

TABLE = Path(__file__).parents[2] / "harness/docs/backbones.md"
SIZE, OTHERS = 224, (150, 64)  # pixels
RANK = 8  # of the adapters whose share is told
HEADS = (
    "module",
    "smallest of its kind",
    "names",
    "M",
    "`map`, at its size",
    "pools beside it",
    "`native`",
    "left out",
    "last-N",
    "lora-R",
    "150 px",
    "64 px",
)
VECTORS = ("native", "avg", "max", "cls", "cls+avg")
WORDS = {"map": "map", "tokens": "patch tokens", "pooled": "timm's pooled feature"}
INTRODUCTION = """\
# The backbones of timm, as the harness reads them

Made by `python -m tests.bench.backbones` with timm {timm}; not written by hand. Every one of timm's {names:,} names
was built by its shapes alone, without weights, and the smallest of each kind of network ({kinds} kinds in {modules}
modules) was examined as `harness plan` does it. With `pool: map` a backbone gives a head one of three things:

- **map**: its last feature map before timm pools it. What timm trains behind that map is left out; the share of the
  network's parameters is shown. It is neither trained nor counted.
- **patch tokens**: the tokens of the patches on their grid, without class, distillation and register tokens.
- **timm's pooled feature**: one vector, where a map or tokens would lose what was trained: a norm behind the pooling,
  attention pooling, blocks of the class token alone, several maps at once. `flatten` and `gap` are one there, and
  Grad-CAM draws where they are pooled from one map.

Any other pool gives a vector. `native` is what timm gives its own classifier: the table says what timm pools, and which
trained layers stand behind that pooling. `avg` and `max` are taken over the map or the patch tokens, `cls` is the class
token, `cls+avg` both; what a network does not have is refused by `harness plan`. A test runs the smallest network of
each module, up to 200 M parameters, through a study, frozen and fine-tuned, with every pool that it has; another holds
`native` against timm ([test_families.py](../../tests/models/test_families.py)).

`last-N` says how many stages there are, of which all but one can be trained, and the share of the last one: timm's
coarse groups, or the network's own parts where timm has none, and none of vectors only, such as a norm. A size that
a backbone does not take is refused by `harness plan`, with sizes that work; "unread" is the share of an image that its
patches leave out.

`lora-R` puts adapters into the linear layers in the attention of a network's blocks, whatever they are called (`qkv`,
`proj`, `q_proj`, `query`, `kv`): all that a pass calls, but not an MLP that makes positions, nor attention in the
pooling at the end. BEiT, EVA with a bias and Swin V2 read the weights of `qkv` without calling the layer: there `proj`
alone is adapted, and `harness plan` says so. A network without such layers, such as a ResNet, or a transformer whose
projections are convolutions, such as CoAtNet, is refused. The table has how many layers are adapted, the last parts of
their names, and the share of the network's parameters that the adapters of `lora-8` have.

{counts}

"""


@dataclass(frozen=True)
class Kind:
    """Names of networks that are built alike."""

    module: str
    smallest: str
    names: int
    size: int  # of the images that the smallest is made for, or 224
    parameters: int  # of the smallest


def rows_of(page: str) -> list[tuple[str, ...]]:
    """The rows of the table on this page."""
    lines = re.findall(r"(?m)^\| (\w+ \| `.*) \|$", page)
    return [tuple(cell.strip() for cell in line.split(" | ")) for line in lines]


def smallest_of_modules(page: str) -> dict[str, tuple[str, float]]:
    """Of each of timm's modules the smallest network, with its millions of parameters, as this page has them."""
    found: dict[str, tuple[str, float]] = {}
    for module, name, _, millions, *_ in rows_of(page):
        if module not in found or float(millions) < found[module][1]:
            found[module] = name.strip("`"), float(millions)
    return dict(sorted(found.items()))


def kinds(names: Iterable[str]) -> tuple[list[Kind], dict[str, str]]:
    """The kinds of these networks, and of those that cannot be built the reason."""
    found: dict[tuple[object, ...], list[tuple[int, str, int]]] = defaultdict(list)
    refused: dict[str, str] = {}
    for name in names:
        try:
            with torch.device("meta"):
                network = new_network(name, SIZE)
        except Exception as error:  # whatever timm raises
            refused[name] = " ".join(str(error).split())[:100] or type(error).__name__
            continue
        config: Mapping[str, tuple[int, ...]] = network.pretrained_cfg  # type: ignore[assignment]
        native = config["input_size"][-1]
        parameters = sum(parameter.numel() for parameter in network.parameters())
        found[_likeness(network)].append((parameters, name, native))
    rows = []
    for (module, *_), members in sorted(found.items(), key=lambda item: (item[0][0], min(item[1]))):
        parameters, name, native = min(members)
        rows.append(Kind(str(module), name, len(members), native, parameters))
    return rows, refused


def _likeness(network: nn.Module) -> tuple[object, ...]:
    """What networks of a kind share: their class, how they pool, and the types of their parts."""
    parts = frozenset((name, type(part).__name__) for name, part in network.named_children() if "layer" not in name)
    told = [str(getattr(network, name, None)) for name in ("global_pool", "num_prefix_tokens", "pool_type")]
    return (type(network).__module__.rpartition(".")[2], type(network).__name__, *told, parts)


def row_of(kind: Kind) -> tuple[str, ...]:
    """A row of the table."""
    size = _size(kind)
    try:
        known = anatomy(kind.smallest, size)
    except HarnessError as error:
        return (*_first(kind), f"refused: {error}", *[""] * (5 + len(OTHERS)))
    whole = "x".join(map(str, known.shape))
    left = 1 - known.size(frozenset(known.read)) / kind.parameters
    others = [_other(kind.smallest, other, size) for other in OTHERS]
    features = f"{WORDS[known.layout]}, {whole} at {size} px"
    left_out = f"{left:.0%}" if left >= 0.005 else ""
    ways = _stages(known), _adapters(known)
    return (*_first(kind), features, *pooling_of(kind.smallest, size), left_out, *ways, *others)


def _size(kind: Kind) -> int:
    """The size that a kind is looked at: 224 px where it goes."""
    try:
        anatomy(kind.smallest, SIZE)
    except HarnessError:
        return kind.size
    return SIZE


def _first(kind: Kind) -> tuple[str, ...]:
    return kind.module, f"`{kind.smallest}`", str(kind.names), f"{kind.parameters / 1e6:.1f}"


def _stages(known: Anatomy) -> str:
    return f"{len(known.stages)}; {known.size(known.stages[-1]) / known.size(frozenset(known.read)):.0%}"


def _adapters(known: Anatomy) -> str:
    """What `lora-R` adapts, and what of it it cannot: `12: proj; not qkv; 0.2%`."""
    called = [layer for layer in known.attention if layer.called and min(layer.inputs, layer.outputs) > RANK]
    if not called:
        return "refused"
    learnt = sum(RANK * (layer.inputs + layer.outputs) for layer in called) / known.size(frozenset(known.read))
    beside = [layer for layer in known.attention if not layer.called]
    without = f"; not {_last_parts(beside)}" if beside else ""
    return f"{len(called)}: {_last_parts(called)}{without}; {learnt:.1%}"


def _last_parts(layers: Iterable[AttentionLayer]) -> str:
    return ", ".join(sorted({layer.name.rpartition(".")[2] for layer in layers}))


def _other(name: str, size: int, native: int) -> str:
    if size == native:
        return "goes"
    try:
        unread = anatomy(name, size).unread
    except HarnessError:
        return "refused"
    return f"goes, {unread:.0%} unread" if unread >= 0.01 else "goes"


def table(rows: Iterable[tuple[str, ...]], refused: Mapping[str, str], names: int) -> str:
    """The page in Markdown."""
    rows = list(rows)
    layouts = Counter(row[4].partition(",")[0].partition(":")[0] for row in rows)
    weighted = Counter({layout: sum(int(r[2]) for r in rows if r[4].startswith(layout)) for layout in layouts})
    counts = [f"- {layout}: {weighted[layout]:,} names of {layouts[layout]} kinds" for layout in sorted(layouts)]
    for pool in VECTORS:
        having = [int(row[2]) for row in rows if pool in row[5].split(", ")]
        counts.append(f"- pool `{pool}`: {sum(having):,} names of {len(having)} kinds")
    adapted = [int(row[2]) for row in rows if row[HEADS.index("lora-R")] not in ("", "refused")]
    counts.append(f"- trainable `lora-R`: {sum(adapted):,} names of {len(adapted)} kinds")
    if refused:
        counts.append(f"- cannot be built: {len(refused)} names")
    modules = len({row[0] for row in rows})
    text = INTRODUCTION.format(
        timm=version("timm"), names=names, kinds=len(rows), modules=modules, counts="\n".join(counts)
    )
    lines = [HEADS, ("---",) * len(HEADS), *rows]
    text += "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    if refused:
        text += "\n## Names that cannot be built\n\n"
        text += "".join(f"- `{name}`: {reason}\n" for name, reason in sorted(refused.items()))
    return text


def main() -> None:
    """Writes the table."""
    own = NETWORKS.keys() | CLASSIFIERS.keys()
    names = sorted(name for name in all_backbones() - own if "." not in name)
    found, refused = kinds(names)
    rows = []
    for number, kind in enumerate(found, start=1):
        print(f"{number} of {len(found)}: {kind.smallest}", file=sys.stderr)
        rows.append(row_of(kind))
        cached_anatomy.cache_clear()
    write_atomic(TABLE, table(rows, refused, len(names)).encode())


if __name__ == "__main__":
    main()
