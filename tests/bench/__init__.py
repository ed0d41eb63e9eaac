"""How fast the harness is, against what a user would do instead: `make bench`. Not a part of the harness' own work."""

# name of a figure -> the module whose `measure(bench)` gives its rows. A new figure is one module and one line here.
# The part before a dash names a group: `--only gpu` is all of them.
FIGURES = {
    "grid": "tests.bench.grid",
    "frozen": "tests.bench.frozen",
    "extraction": "tests.bench.extraction",
    "overhead": "tests.bench.overhead",
    "peers": "tests.bench.peers",
    "probes": "tests.bench.probe_fits",
    "growth": "tests.bench.growth",
    "finetune": "tests.bench.finetune",
    "decode": "tests.bench.decode",
    "images": "tests.bench.images",
    "tables": "tests.bench.tables",
    "gpu-steps": "tests.bench.gpu.steps",
    "gpu-rival": "tests.bench.gpu.rival",
    "gpu-sharing": "tests.bench.gpu.sharing",
    "gpu-kernels": "tests.bench.gpu.kernels",
    "gpu-frozen": "tests.bench.gpu.frozen",
    "gpu-compile": "tests.bench.gpu.compiling",
}
