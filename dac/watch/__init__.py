"""The jobs of a project, live on a terminal: `dac watch`."""
