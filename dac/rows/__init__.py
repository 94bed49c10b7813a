"""Recorded steps as arrays, and the HDF5 files that hold them: read, and refused where they cannot be meant."""
