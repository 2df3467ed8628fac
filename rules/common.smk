"""
in:  the config; in the main process also the videos, where they are set: some commands need none
out: SHARDS, the names of all shards, GROUPS of them that share a job, and the helpers of the rules
"""

import json
import logging
from pathlib import Path

sys.path.insert(0, os.path.join(workflow.basedir, "scripts"))
from clipmill import backends, draw, formats
from clipmill.config import check_config, check_files, check_set
from clipmill.errors import SetupError, explain_os_error
from clipmill.index import shard_groups, shard_sizes
from clipmill.locks import RunLock
from clipmill.summary import as_text


def calibrates():
    """Whether this is `snakemake calibrate`, a run on a sample. Jobs on other machines learn it from the environment."""
    if workflow.is_main_process:
        asked = set()
        if "calibrate" in sys.argv:  # Snakemake has its own list of targets only later
            from snakemake.cli import parse_args

            asked = set(parse_args(sys.argv[1:])[1].targets)
        if "calibrate" in asked and len(asked) > 1:
            sys.exit("calibrate: is a run of its own; give it no other target")
        os.environ.update(CLIPMILL_CALIBRATES=str(int("calibrate" in asked)))
    return os.getenv("CLIPMILL_CALIBRATES") == "1"


CALIBRATES = calibrates()


def find_shards():
    """All shards, and how many videos each has. The main process looks for videos; jobs read what it found."""
    try:
        if workflow.is_main_process:
            check_files(workflow.overwrite_configfiles)
        check_config(config, Path(workflow.basedir) / "config" / "config.schema.yaml")
        if CALIBRATES:
            if workflow.is_main_process and config["videos"] is not None:
                draw.write_sheet(config)
            config.update(draw.sample_config(config))
        if config["videos"] is None:
            return {}
        outdir = Path(config["outdir"])
        if not workflow.is_main_process:
            # Before Snakemake removes what the job is to write.
            if run := os.getenv("CLIPMILL_RUN"):
                RunLock(outdir).check(run)
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


def hold_outdir():
    """Refuse a second run on the same outdir, wherever it was started; a dry run never comes here.

    Jobs on other machines learn the run's name from the environment.
    """
    asked = set(workflow.dag_settings.targets)
    if asked and asked <= BESIDE_RUNS:
        return
    try:
        os.environ.update(CLIPMILL_RUN=RUN_LOCK.take())
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
RUN_LOCK = RunLock(Path(config["outdir"]))
# Targets that write nothing below outdir but their logs, so that they may be asked for while a run is at work.
BESIDE_RUNS = {"plan", "fetch_models", "beautify", "quantize"}
WORK = f"{OUT}/work"

# What does not change a result reaches the tools by the environment: a moved checkout re-runs nothing. They run in the
# Python that runs Snakemake, unless a rule's own environment comes before it in PATH. A variable holds 128 kB at most, so
# of a long list of patterns the report shows the first ones.
os.environ.update(
    PATH=os.path.dirname(sys.executable) + os.pathsep + os.getenv("PATH", ""),
    CLIPMILL_SCRIPTS=os.path.join(workflow.basedir, "scripts"),
    CLIPMILL_OUTDIR=config["outdir"],
    CLIPMILL_MAX_ERROR_RATE=str(config["max_error_rate"]),
    CLIPMILL_COMPILE=str(int(config["compile"])),
    CLIPMILL_CONFIG=json.dumps({**config, "exclude": config["exclude"][:100]}),
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


def cut_settings():
    """What the cutting of a clip depends on."""
    return {**config["cut"], "min_seconds": config["split"]["min_seconds"]}


def dataset_files():
    """The files that the formats of the dataset are read by, besides the metadata."""
    export = config["export"]
    splits = formats.splits(export["validation_share"])
    return [
        f"{OUT}/dataset/{name}" for name in formats.entries(export["formats"], splits)
    ]


def summary_time():
    """When the summary was written, in nanoseconds; None where there is none."""
    path = Path(config["outdir"]) / "summary.json"
    return path.stat().st_mtime_ns if path.exists() else None


SUMMARY_BEFORE = summary_time()


def print_summary():
    """What came of the run, after its last job; nothing after a command that leaves the dataset alone."""
    if summary_time() != SUMMARY_BEFORE and not CALIBRATES:
        path = Path(config["outdir"]) / "summary.json"
        print(
            as_text(json.loads(path.read_text(encoding="utf-8")), path.parent),
            file=sys.stderr,
        )
