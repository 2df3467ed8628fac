"""
in:  the section `resources` of the config, and the table of backends
out: helpers: what a job of each step may use, the environment that it runs in, which shards share a job
"""

from clipmill.models.leases import THREADS
from clipmill.store.index import shard_groups

ENGINE_CLIPS = 2000  # kept clips per job whose model takes minutes to start


def resource(step, name):
    """A resource of a step's jobs, growing with each attempt."""
    value = config["resources"][step][name]
    if value == "auto":
        value = backend_entry(step).memory
    return lambda wildcards, attempt: value * attempt


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


def threads_of(step):
    """Cores of a job."""
    wanted = config["resources"][step]["threads"]
    if wanted == "auto":
        return THREADS if gpus_of(step) else 1
    return wanted


def backend_entry(step):
    """The backend of a step, as the table of backends knows it."""
    return backends.entry(step, config[step]["backend"])


def gpus_of(step):
    """GPUs of a job."""
    wanted = config["resources"][step].get("gpu", 0)
    wanted = backend_entry(step).gpus if wanted == "auto" else wanted
    limit = getattr(workflow.global_resources.get("gpu"), "value", None)
    if workflow.is_main_process and limit is not None and wanted > limit:
        # Snakemake itself would give the job fewer, and say nothing.
        sys.exit(
            f"resources.{step}.gpu: a job wants {wanted} GPUs, and the run may use {limit} at once; "
            f"allow more with `--resources gpu={wanted}`, in the profile, or ask for fewer in the config"
        )
    return wanted


def batch_of(step):
    """Units in a batch; 0 is the backend's own choice."""
    return config["resources"][step]["batch"] or 0


def environment(step):
    """The conda environment of a step's backend."""
    return f"../envs/{backend_entry(step).environment}.yaml"


def clips_per_caption_job():
    """About how many kept clips a job of captioning or rewriting serves; None gives each shard a job."""
    if config["clips_per_caption_job"] != "auto":
        return config["clips_per_caption_job"]
    starts_slowly = backend_entry("caption").gpus or backend_entry("rewrite").gpus
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

    return [f"{OUT}/{path}" for path in tables.lost(Path(OUT), SHARDS, GROUPS)]
