"""Inputs as people have them: each test builds one, runs the command, and holds what is said and what is written."""
