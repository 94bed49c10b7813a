"""From the rows that runs left behind to the tables, figures and page of a study."""
