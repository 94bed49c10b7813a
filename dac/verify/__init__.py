"""`dac verify`: every file of the store, the datasets and the states compared with what is recorded of it."""
