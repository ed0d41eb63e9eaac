"""Checks of a store: whether its files are as they were written, and its numbers follow from its predictions."""
