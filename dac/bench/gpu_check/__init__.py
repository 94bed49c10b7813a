"""`dac gpu-check`: whether a machine's GPUs compute what they should, how fast, and what to set where they do not."""
