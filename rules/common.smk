"""
in:  the config
out: the config, checked; the names of folders and steps; the environment of the tools; helpers of many rules
"""

import json

import yaml

sys.path.insert(0, str(HERE / "scripts"))
from clipmill.base.errors import SetupError, explain_os_error
from clipmill.filters import calibration_sample
from clipmill.filters.columns import filters_of
from clipmill.filters.verdict import active
from clipmill.models import backends
from clipmill.remote.hosts import allow_place_of_videos
from clipmill.store.layout import CLASSIFIER, is_classifier
from clipmill.store.records import bring_records
from clipmill.store.spelling import spelling_of
from clipmill.texts.questions import policy_of


def or_exit(function, *arguments):
    """Call a function. A fault of the set-up ends Snakemake with one line."""
    try:
        return function(*arguments)
    except SetupError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(explain_os_error(error) or str(error))


def check_packages():
    """Check that this is the Python of clipmill. Tools run in it too, unless rules have environments of their own."""
    from importlib.util import find_spec

    own = bool(workflow.deployment_settings.deployment_method)
    needed = ("pyarrow", *(() if own else ("av", "cv2", "onnxruntime")))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise SetupError(
            f"{sys.executable} has no package `{missing[0]}`, which clipmill needs: in the folder of clipmill run "
            "`make install` and `source .venv/bin/activate`, and start again"
        )


def check_everything():
    """Check the config files. Only the main process does: jobs get a config that has been checked."""
    check_packages()
    from clipmill.config import check_config
    from clipmill.config_files import check_files

    own = HERE / "config" / "config.yaml"
    check_files([path for path in map(Path, workflow.configfiles) if path != own])
    check_config(config, SCHEMA)


def command_line():
    """What the user asked Snakemake for. Snakemake itself tells the workflow some of it only later."""
    from snakemake.cli import parse_args

    return parse_args(sys.argv[1:])[1]


def calibrates():
    """Whether this is `snakemake calibrate`, a run on a sample. Jobs on other machines read it in the environment.

    With decisions of a person it learns from these instead, and works on the run itself.
    """
    if workflow.is_main_process:
        targets = set()
        calibrate = rule_name("calibrate")
        if calibrate in sys.argv:
            targets = set(command_line().targets)
        if calibrate in targets and len(targets) > 1:
            sys.exit(f"`{calibrate}` cannot be combined with other targets")
        sampling = calibrate in targets and config["review"]["file"] is None
        os.environ.update(CLIPMILL_CALIBRATES=str(int(sampling)))
    return os.getenv("CLIPMILL_CALIBRATES") == "1"


def shows_finished_runs():
    """Whether this command shows finished runs and does nothing else. If they are not there, it ends without a trace."""
    browse, compare = map(rule_name, ("browse", "compare"))
    if not workflow.is_main_process or not {browse, compare} & set(sys.argv):
        return False
    targets = set(command_line().targets)
    if browse in targets:
        from clipmill.review.server import check_page

        or_exit(check_page, Path(config["outdir"]))
    if compare in targets:
        from clipmill.compare.runs import check_finished

        for key in ("a", "b"):
            if outdir := config[f"run_{key}"]:
                or_exit(check_finished, key, Path(outdir))
    return bool(targets) and targets <= {browse, compare}


def expand_home():
    """Let `~` be the home folder. Not every shell replaces it in `videos=~/videos`, and YAML does not."""
    for part, key in (
        *((config, name) for name in ("videos", "outdir", "prompts", "run_a", "run_b")),
        (config["review"], "file"),
    ):
        part[key] = part[key] and os.path.expanduser(part[key])


def take_sample():
    """Change the config to that of a run on a calibration sample. The main process draws the sample."""
    if workflow.is_main_process and config["videos"] is not None:
        calibration_sample.write_sheet(config)
    config.update(calibration_sample.sample_config(config))


def read_sections_of_command_line():
    """Read each `--config key={…}` as a config file is read. Snakemake makes every value inside it a text."""
    for entry in workflow.config_settings.config_args or ():
        key, _, text = entry.partition("=")
        if isinstance(config.get(key), (dict, list)):
            update_config(config, {key: yaml.safe_load(text.strip("'\""))})


def review_as_section():
    """`review: FILE` is short for a section with that file. What the user's config files say of `require` still counts."""
    if config["review"] is None or isinstance(config["review"], str):
        require = None
        own = HERE / "config" / "config.yaml"
        for path in (Path(one) for one in workflow.configfiles if Path(one) != own):
            said = {} if path.is_fifo() else load_configfile(path).get("review")
            if isinstance(said, dict) and "require" in said:
                require = said["require"]
        config["review"] = {"file": config["review"], "require": require}


SCHEMA = HERE / "config" / "config.schema.yaml"
FOLLOWS_COMMAND_LINE = follows_command_line()
if IS_MODULE:
    config = with_defaults(config)
if FOLLOWS_COMMAND_LINE:
    read_sections_of_command_line()
review_as_section()
if workflow.is_main_process:
    or_exit(check_everything)
FIRST_OF_MODULE = IS_MODULE and begin_module()
if config["classifiers"]:
    from clipmill.config import complete, load_schema

    complete(config, load_schema(SCHEMA))
# YAML reads off as false.
config["decode"]["deinterlace"] = config["decode"]["deinterlace"] or "off"
expand_home()
or_exit(allow_place_of_videos, config)
SHOWS_FINISHED_RUNS = shows_finished_runs()
CALIBRATES = calibrates()
if CALIBRATES:
    or_exit(take_sample)


def scenes_are_given():
    """Whether the sheet gives the scenes. Jobs read it in the environment, so that they need not open the sheet."""
    known = not workflow.is_main_process and "CLIPMILL_GIVEN" in os.environ
    if config["videos"] is not None and not known:
        # It needs pyarrow, which would load pandas.
        from clipmill.store.table import spare_pandas

        spare_pandas()
        # No setting is a pandas object. To see that, Snakemake would import pandas, if it were there.
        sys.modules.setdefault("pandas", None)
        from clipmill.fetch.files import FetchSettings
        from clipmill.inputs.finding import gives_scenes_at

        given = gives_scenes_at(config["videos"], FetchSettings(**config["fetch"]))
        if config["split"]["detector"] == "given" and not given:
            sys.exit(
                "config: split.detector: `given` needs a sheet with the columns start and end, or start_frame and "
                f"end_frame; {config['videos']} gives no scenes"
            )
        os.environ.update(CLIPMILL_GIVEN=str(int(given)))
    return os.getenv("CLIPMILL_GIVEN") == "1"


# Jobs on other machines, where the same folders may have other real paths, get it by the environment.
if workflow.is_main_process:
    os.environ.update(CLIPMILL_SPELLING=or_exit(spelling_of, config["outdir"]))
OUT = os.getenv("CLIPMILL_SPELLING") or spelling_of(config["outdir"])
if workflow.is_main_process and not SHOWS_FINISHED_RUNS:
    or_exit(bring_records, OUT)
WORK = f"{OUT}/work"
# Whether the sheet gives the scenes: then no detector looks for them.
SCENES_GIVEN = or_exit(scenes_are_given)
if SCENES_GIVEN:
    config["split"]["detector"] = "given"
CAPTIONS_GIVEN = config["caption"]["backend"] == "given"
# Whether either is: then the sheet's further columns reach the metadata.
GIVEN = SCENES_GIVEN or CAPTIONS_GIVEN
# Whether a language model hears the sound of the clips that it captions.
HEARS = config["caption"]["audio"]
# Whether a network looks for the shots: a step of its own, for which decoding makes miniatures.
BY_NETWORK = config["split"]["detector"] == "transnetv2"
# The filters that have a bound, or for which `calibrate` is to find one.
WITH_BOUND = {
    *active(config["filters"], list(config["filters"])),
    *(config["calibrate"]["quantiles"] if CALIBRATES else ()),
}
# Whether speech is looked for, and whether sound is measured.
SPEECH = (
    config["audio"]["speech"]
    or config["split"]["keep_speech"]
    or "speech_share" in WITH_BOUND
)
SOUND = config["audio"]["backend"] == "measured" or (
    config["audio"]["backend"] == "auto"
    and bool(SPEECH or config["cut"]["audio"] or filters_of("sound") & WITH_BOUND)
)
# Whether a language model answers questions about clips in a step of its own.
JUDGES = config["judge"]["backend"] != "none"
CLASSIFIERS = [CLASSIFIER + name for name in config["classifiers"]]
# The steps that have backends, each of which is checked before the first video is decoded.
WITH_BACKENDS = [
    *(backends.BY_DETECTOR if BY_NETWORK else ()),
    *(backends.BY_AUDIO if SPEECH else ()),
    *(step for step in backends.AVAILABLE if step != "judge" or JUDGES),
    *CLASSIFIERS,
]


def section(step):
    """The section of the config that chooses a step's backend."""
    if is_classifier(step):
        return {**config["classifiers"][step.removeprefix(CLASSIFIER)], "column": step}
    if step == "caption" and config["judge"]["with_caption"]:
        return {**config["caption"], "judge": config["judge"]}
    if step in backends.BY_AUDIO:
        own = {"weights": config["audio"]["weights"]}
        return {"backend": "silero", "silero": own}
    if step not in backends.BY_DETECTOR:
        return config[step]
    own = {name: config["split"]["transnetv2"][name] for name in ("where", "weights")}
    return {"backend": "transnetv2", "transnetv2": own}


# Settings that change no result reach the tools by the environment, so a moved checkout re-runs nothing. The tools run in
# the Python that runs Snakemake, unless a rule's own environment comes before it in PATH. A variable holds at most 128 kB,
# so the report shows only the first patterns of a long `exclude`.
os.environ.update(
    PATH=os.path.dirname(sys.executable) + os.pathsep + os.getenv("PATH", ""),
    CLIPMILL_SCRIPTS=str(HERE / "scripts"),
    CLIPMILL_OUTDIR=config["outdir"],
    CLIPMILL_MAX_ERROR_RATE=str(config["max_error_rate"]),
    CLIPMILL_COMPILE=str(int(config["compile"])),
    CLIPMILL_FETCH=json.dumps(config["fetch"]),
    CLIPMILL_CONFIG=json.dumps({**config, "exclude": config["exclude"][:100]}),
    CLIPMILL_RUNTIME_SETTINGS=json.dumps(
        {step: backends.runtime_settings(step, section(step)) for step in WITH_BACKENDS}
    ),
)
# numpy would start a thread per core in each job, which costs a short job a quarter of its start; no tool needs them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


wildcard_constraints:
    shard=r"\d{6}",
    step="|".join(WITH_BACKENDS),


def one_or_list(values):
    """The only value, or a list of several."""
    values = list(values)
    return values if len(values) > 1 else values[0]


def as_json(settings):
    """Settings as one string: a tool takes it, and Snakemake compares it to see whether a result still holds."""
    return json.dumps(settings, sort_keys=True)


PROMPTS = HERE / "config" / "prompts"


def backend_settings(step, **changes):
    """The settings of a step's backend: its section of the config, with `changes`."""
    return backends.settings(step, {**section(step), **changes}, PROMPTS)


def judgement(asks):
    """What the answers to the config's questions do, for the tools that drop clips by them; nothing unless it `asks`."""
    if not asks:
        return {}
    policy = policy_of(or_exit(backends.questions_of, config["judge"], PROMPTS))
    with_caption = config["judge"]["with_caption"]
    return {"judgement": {"policy": policy, "with_caption": with_caption}}


def require_config_keys(*keys):
    """An input function that asks for no file, and ends the start of a run whose target needs an unset key."""

    def check(wildcards):
        from clipmill.config import check_set

        or_exit(check_set, config, keys)
        return []

    return check
