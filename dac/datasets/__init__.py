"""Offline datasets: where they come from, how they are read, and the transitions that the agent trains on.

Importing this package imports neither torch nor gymnasium: the planner needs `dac.study.catalog` alone.
"""
