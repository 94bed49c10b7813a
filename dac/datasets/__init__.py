"""From the sources of data to the transitions that the agent trains on: fetched, collected, converted, loaded."""
