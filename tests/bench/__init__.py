"""How fast the harness is, against what a user would do instead: `make bench`. Not a part of the harness' own work."""

# name of a figure -> the module whose `measure(bench)` gives its rows. A new figure is one module and one line here.
FIGURES = {
    "grid": "tests.bench.grid",
    "extraction": "tests.bench.extraction",
    "overhead": "tests.bench.overhead",
    "peers": "tests.bench.peers",
    "growth": "tests.bench.growth",
    "finetune": "tests.bench.finetune",
    "decode": "tests.bench.decode",
    "images": "tests.bench.images",
    "gpu": "tests.bench.gpu",
}
