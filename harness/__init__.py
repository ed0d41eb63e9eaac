"""A benchmark harness for image-classification studies."""

__version__ = "0.1.0"
