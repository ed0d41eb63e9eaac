"""How fast the harness is, against what a user would do instead: `make bench`. Not a part of the harness' own work."""

# name of a figure -> the module whose `measure(bench)` gives its rows. A new figure is one module and one line here.
FIGURES = {
    "grid": "harness.bench.grid",
}
