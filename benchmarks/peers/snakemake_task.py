"""The script of each of Snakemake's jobs."""

import json
from pathlib import Path

from snakemake.script import snakemake

from benchmarks.peers.tasks import run_task

Path(snakemake.output[0]).write_text(json.dumps(run_task(snakemake.params.task)), encoding="utf-8")
