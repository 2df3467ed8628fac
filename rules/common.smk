"""
in:  the config; in the main process also the videos, where they are set: some commands need none
out: SHARDS, the names of all shards, GROUPS of them that share a job, and the helpers of the rules
"""

import json
import logging
from pathlib import Path

sys.path.insert(0, os.path.join(workflow.basedir, "scripts"))
from clipmill import backends, verdict
from clipmill.config import check_config, check_set
from clipmill.errors import SetupError, explain_os_error
from clipmill.index import shard_groups, shard_sizes
from clipmill.locks import RunLock
from clipmill.summary import as_text


def find_shards():
    """All shards, and how many videos each has. The main process looks for videos; jobs read what it found."""
    try:
        check_config(config, Path(workflow.basedir) / "config" / "config.schema.yaml")
        if config["videos"] is None:
            return {}
        outdir = Path(config["outdir"])
        if not workflow.is_main_process:
            return shard_sizes(outdir)
        from clipmill.discovery import update_index  # pandas, which jobs need not load

        log = logging.getLogger("clipmill")
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
        return update_index(
            config["videos"], outdir, config["videos_per_shard"], config["exclude"]
        )
    except SetupError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(explain_os_error(error) or str(error))


RUN_LOCK = RunLock(Path(config["outdir"]))


def hold_outdir():
    """Refuse a second run on the same outdir, wherever it was started; a dry run never comes here."""
    try:
        RUN_LOCK.take()
    except SetupError as error:
        sys.exit(str(error))


def needs(*keys):
    """An input function that asks for no file, and ends the start of a run whose target needs an unset key."""

    def check(wildcards):
        try:
            check_set(config, keys)
        except SetupError as error:
            sys.exit(str(error))
        return []

    return check


SHARDS = find_shards()
# The steps that have backends, each of which is checked before the first video is decoded.
STEPS = list(backends.AVAILABLE)
OUT = os.path.normpath(config["outdir"])
WORK = f"{OUT}/work"

# What does not change a result reaches the tools by the environment: a moved checkout re-runs nothing. They run in the
# Python that runs Snakemake, unless a rule's own environment comes before it in PATH.
os.environ.update(
    PATH=os.path.dirname(sys.executable) + os.pathsep + os.getenv("PATH", ""),
    CLIPMILL_SCRIPTS=os.path.join(workflow.basedir, "scripts"),
    CLIPMILL_OUTDIR=config["outdir"],
    CLIPMILL_MAX_ERROR_RATE=str(config["max_error_rate"]),
    CLIPMILL_COMPILE=str(int(config["compile"])),
    CLIPMILL_MEANS=json.dumps(
        {step: backends.means(step, config[step]) for step in STEPS}
    ),
)

CHECKS = expand(f"{WORK}/checks/{{step}}.json", step=STEPS)


wildcard_constraints:
    shard=r"\d{6}",
    step="|".join(STEPS),


def as_json(settings):
    """Settings as one string: what a tool takes, and what Snakemake compares to see whether a result still holds."""
    return json.dumps(settings, sort_keys=True)


def settings_of(step, **changes):
    """What the backend of a step is made with, after `changes` of its section."""
    prompts = Path(workflow.basedir) / "config" / "prompts"
    return backends.settings(step, {**config[step], **changes}, prompts)


def bounds(order):
    """The filters in `order`, and that order, for the tools that give verdicts."""
    return {
        "filters": {name: config["filters"][name] for name in order},
        "order": order,
    }


def late_verdict():
    """What may speak against a clip that has a text, for the tools that give the last verdict."""
    return {"checks": config["text_checks"], **bounds(verdict.LATE_FILTERS)}


def cut_settings():
    """What the cutting of a clip depends on."""
    return {**config["cut"], "min_seconds": config["split"]["min_seconds"]}


def cascade_order(metric):
    """The filters whose failures spare a clip the costly `metric`."""
    return verdict.before(metric, config["filter_order"]) if config["cascade"] else []


def score_settings(metric):
    """Everything that a costly score depends on."""
    return as_json({"backend": settings_of(metric), **bounds(cascade_order(metric))})


def cheaper_scores(metric):
    """The score tables that say which clips `metric` may skip."""
    names = ["motion", "technical"]
    names += (
        verdict.costly_before(metric, config["filter_order"])
        if config["cascade"]
        else []
    )
    return [f"{WORK}/scores/{name}/{{shard}}.parquet" for name in names]


def summary_time():
    """When the summary was written, in nanoseconds; None where there is none."""
    path = Path(config["outdir"]) / "summary.json"
    return path.stat().st_mtime_ns if path.exists() else None


SUMMARY_BEFORE = summary_time()


def print_summary():
    """What came of the run, after its last job; nothing after a command that leaves the dataset alone."""
    if summary_time() != SUMMARY_BEFORE:
        path = Path(config["outdir"]) / "summary.json"
        print(
            as_text(json.loads(path.read_text(encoding="utf-8")), path.parent),
            file=sys.stderr,
        )
