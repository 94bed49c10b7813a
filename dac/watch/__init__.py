"""Looking at a project from a terminal: running jobs, studies, runs, cells of tables, films of policies."""
