"""
in:  the section `resources` of the config, and the table of backends
out: helpers: what a job of each step may use, the environment that it runs in, which shards share a job
"""

from snakemake_interface_executor_plugins.settings import DeploymentMethod

from clipmill.models.leases import THREADS
from clipmill.steps import BY_NAME, by_name, metrics_of
from clipmill.store.index import shard_groups

METRICS = metrics_of(CLASSIFIERS)  # the costly scores of this run
ENGINE_CLIPS = 2000  # kept clips per job whose model takes minutes to start


def resources_key(step):
    """The section of `resources` that says what a step's jobs may use: all classifiers have one."""
    if step in backends.BY_AUDIO:  # a part of decoding
        return "decode"
    return "classifiers" if is_classifier(step) else step


def resources_of(step):
    return config["resources"][resources_key(step)]


def resource(step, name):
    """A resource of a step's jobs, growing with each attempt."""
    value = resources_of(step)[name]
    if value == "auto":
        value = backend_entry(step).memory
    return lambda wildcards, attempt: value * attempt


def resource_together(name, steps):
    """A resource of a job that does several steps, one after the other: it lasts as long as all of them."""
    combine = sum if name == "runtime" else max
    return lambda wildcards, attempt: combine(
        resource(step, name)(wildcards, attempt) for step in steps
    )


def require_chat(step):
    """An input function that asks for no file, and ends the start of a run unless a language model does the step."""

    def check(wildcards):
        if not backend_entry(step).chat:
            name = config[step]["backend"]
            sys.exit(
                f"config: {step}.backend: `{name}` writes no prompts; choose a language model"
            )
        return []

    return check


def free_threads():
    """Cores of this machine for each shard that is not finished, if there are more cores than such shards."""
    if CLUSTER_JOBS or not workflow.is_main_process or not CORES or not SHARDS:
        return 1
    to_come = [name for name in SHARDS if not BY_NAME["cut"].done(Path(OUT), name)]
    return max(1, CORES // len(to_come or SHARDS))


FREE_THREADS = free_threads()


def threads_of(step):
    """Cores of a job."""
    wanted = resources_of(step)["threads"]
    if wanted != "auto":
        return wanted
    if step == "fetch":
        return 1
    if step in ("decode", "cut", "duplicates"):
        return FREE_THREADS
    entry = backend_entry(step)
    if entry.embedded or (entry.weights and not gpus_of(step)):
        return FREE_THREADS if step in (*METRICS, "shots", "caption") else 1
    # A language model does not work on this job's cores. A model on the CPU gets one, since their number may change the
    # last digits of its sums.
    return THREADS if gpus_of(step) and not backend_entry(step).chat else 1


def priority_of(step):
    """Earlier steps first where shards are few, so that the last shard does not run alone; else shard after shard."""
    few = CORES and not CLUSTER_JOBS and len(SHARDS) < 4 * CORES
    return 20 - by_name(step).level if few else 1


def backend_entry(step):
    """The backend of a step, as the table of backends knows it."""
    return backends.entry(step, section(step)["backend"])


def gpus_of(step):
    """GPUs of a job."""
    wanted = resources_of(step).get("gpu", 0)
    wanted = backend_entry(step).gpus if wanted == "auto" else wanted
    limit = getattr(workflow.global_resources.get("gpu"), "value", None)
    if workflow.is_main_process and limit is not None and wanted > limit:
        # Snakemake itself would give the job fewer, and say nothing.
        sys.exit(
            f"resources.{resources_key(step)}.gpu: a job wants {wanted} GPUs, and the run may use {limit} at once; "
            f"allow more with `--resources gpu={wanted}`, in the profile, or ask for fewer in the config"
        )
    return wanted


def batch_of(step):
    """Units in a batch; 0 is the backend's own choice."""
    return resources_of(step)["batch"] or 0


def environment_name(step):
    """The environment of a step's backend."""
    entry = backend_entry(step)
    on_a_gpu = entry.gpu_environment if gpus_of(step) else None
    return on_a_gpu or entry.environment


def environment(step):
    """The conda environment of a step's backend."""
    return f"../envs/{environment_name(step)}.yaml"


def image(name):
    """The container with an environment; None unless it is asked for, since Snakemake refuses a path with a space."""
    if DeploymentMethod.APPTAINER not in workflow.deployment_settings.deployment_method:
        return None
    place = config["containers"] or str(HERE / "containers")
    if "://" in place:
        return f"{place}{name}"
    file = Path(place) / f"{name}.sif"
    if workflow.is_main_process and not file.exists():
        sys.exit(
            f"{file}: there is no such container; build it in clipmill's folder with `make containers/{name}.sif`, or "
            "name the place of yours in the config (containers)"
        )
    return str(file)


def image_of(step):
    """The container with the environment of a step's backend."""
    return image(environment_name(step))


# Steps with embedded backends: one job checks them all, on the CPU. Each other step is checked by itself, in its
# environment and on its device.
EMBEDDED = [step for step in WITH_BACKENDS if backend_entry(step).embedded]
CHECKED_ALONE = [step for step in WITH_BACKENDS if step not in EMBEDDED]


def checked(step):
    """The input of a step's jobs that keeps them waiting until its backend has been checked.

    None for embedded backends, which share a check: see docs/decisions/0035.
    """
    return f"{WORK}/checks/{step}.json" if step in CHECKED_ALONE else []


def clips_per_caption_job():
    """About how many kept clips a job of captioning or rewriting serves; None gives each shard a job."""
    if config["clips_per_caption_job"] != "auto":
        return config["clips_per_caption_job"]
    asking = ("caption", "rewrite", *(["judge"] if JUDGES else []))
    starts_slowly = any(backend_entry(step).gpus for step in asking)
    return ENGINE_CLIPS if starts_slowly else None


GROUPS = shard_groups(SHARDS, clips_per_caption_job())
GROUP_OF = {shard: first for first, shards in GROUPS.items() for shard in shards}


def of_group(pattern):
    """The files of all shards that share the job of `wildcards.shard`, their first."""
    return lambda wildcards: expand(pattern, shard=GROUPS[wildcards.shard])


def texts_of_shard(wildcards):
    """The table that holds the texts of a shard."""
    return f"{WORK}/rewrites/{GROUP_OF[wildcards.shard]}.parquet"


def lost_tables(wildcards):
    """Tables that Snakemake deleted when their job failed. It would not recreate them while later tables still exist."""
    from clipmill.store import tables

    wanted = {
        "shots": BY_NETWORK,
        "fingerprints": WITH_FINGERPRINTS,
        tables.JUDGEMENTS.name: JUDGES,
    }
    optional = [
        *(table for table in tables.OPTIONAL if wanted.get(table.name)),
        *map(tables.classifier, CLASSIFIERS),
    ]
    lost = tables.lost(Path(OUT), SHARDS, GROUPS, optional)
    return [*(f"{OUT}/{path}" for path in lost), *DUPLICATES]
