"""Runs, and their evaluations during training and after it."""
