"""What params.yaml asks for, what is there of it, and what is missing.

It imports no torch: every snakemake starts with it.
"""
