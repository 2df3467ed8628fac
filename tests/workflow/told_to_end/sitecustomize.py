"""Snakemake is told to end while it puts down that a job is done. Python imports this module by itself."""

import os
import signal
import sys

if "snakemake" in sys.orig_argv:
    from snakemake.scheduling.job_scheduler import JobScheduler

    finish = JobScheduler._finish_jobs

    def finish_jobs(scheduler):
        if scheduler._tofinish:
            os.kill(os.getpid(), signal.SIGTERM)
        finish(scheduler)

    JobScheduler._finish_jobs = finish_jobs
