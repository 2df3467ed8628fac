"""
in:  what Snakemake logs in the main process
out: the terminal: bars or lines of progress, one sentence per failed job, the summary last
"""

import logging

from clipmill import terminal

# Rules whose jobs write to the terminal themselves.
SPEAKING = {
    *map(
        rule_name,
        ("plan", "fetch_models", "beautify", "calibrate", "compare", "browse"),
    )
}


def take_over_terminal():
    """Show the run instead of Snakemake; None where Snakemake does: in jobs, and where the user asked for its output."""
    settings = workflow.output_settings
    quiet = {choice.name.lower() for choice in settings.quiet or ()}
    logger = logging.getLogger("snakemake.logging")
    if not workflow.is_main_process:
        return None
    if settings.dryrun:
        terminal.shorten_lists(logger)
        return None
    if settings.printshellcmds or settings.verbose or settings.debug_dag:
        return None
    if not quiet <= {"host", "reason"}:
        return None
    return terminal.take_over(
        logger, silent={"all", rule_name("all")}, speaking=SPEAKING
    )


TERMINAL = take_over_terminal()
