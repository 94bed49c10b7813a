"""What a study costs in time, memory and disk, for `dac plan`. It imports no torch."""
