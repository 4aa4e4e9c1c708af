"""Mutation testing of the Python code that decides about money: `python -m tests.mutation --help`."""
