"""The operating system's part: errors, files, locks, signals, child processes, devices, provenance."""
