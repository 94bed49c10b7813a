"""Places of code that have moved since, for the metadata of recorded data that name them; see `dac.__path__`."""
