"""Several Snakemakes in one folder, and one that ends early: nothing stays that somebody must remove by hand.

Snakemake's own lock outlives a SIGKILL, and its notes on markers would pile up; the program's locks, which
dac.study.sessions names, end with their process. So neither Snakemake's locks nor its notes are used.
"""

import contextlib

# A process that Snakemake starts for one job, on a node say, has the session of the one that planned it.
if workflow.is_main_process or "DAC_SESSION" not in os.environ:
    os.environ["DAC_SESSION"] = sessions.new()
SESSION = os.environ["DAC_SESSION"]
TODO = str(sessions.folder_of(SESSION))
HELD = contextlib.ExitStack()


@cache
def use_own_locks():
    """Have Snakemake neither lock nor take notes; called while the DAG is built, when it has what does both."""
    persistence = workflow.persistence
    persistence.lock = persistence.unlock = persistence.noop
    persistence.started = lambda job, external_jobid=None: None
    if workflow.execution_settings is not None:  # null where nothing is to run
        workflow.execution_settings.keep_metadata = False


envvars:
    "DAC_SESSION",


onstart:
    for other in HELD.enter_context(sessions.held(SESSION)):
        print(
            f"Another Snakemake runs here: {other}. What both want is made once: one waits.",
            file=sys.stderr,
        )
