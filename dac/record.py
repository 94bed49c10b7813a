"""Tell DVC what Snakemake did, so that the two never disagree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from dac.params import Params
from dac.pending import Pending


def record_in_dvc(params: Params) -> None:
    """After a run of Snakemake: `dvc commit`, if the study that DVC builds is complete.

    Without it DVC would take the results of a bare `snakemake` for foreign changes, and `dvc pull --force` would
    delete them. Does nothing inside `dvc repro`, which records by itself, and where DVC is not set up. A study that
    is not complete is left for `dvc status` to show.
    """
    if "DVC_STAGE" in os.environ or not Path(".dvc").is_dir() or not Path("dvc.yaml").is_file():
        return
    if Pending(params).report(params.dvc_study):
        return
    finished = subprocess.run(
        [sys.executable, "-m", "dvc", "commit", "--force"], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        print(f"DVC did not record this state; `dvc commit -f` says: {finished.stderr.strip()}", file=sys.stderr)
