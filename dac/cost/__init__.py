"""What a study costs in time, memory and disk: `dac plan`."""
