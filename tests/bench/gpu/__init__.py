"""What fine-tuning makes of a GPU: `--only gpu`. Without one each figure is a row that says so."""
