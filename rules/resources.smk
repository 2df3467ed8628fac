"""
in:  the sections `resources` of the config, and the table of backends
out: helpers: what a job of each step may use, the environment that it runs in, which shards share a job
"""

from clipmill.gpu import THREADS

ENGINE_CLIPS = 2000  # kept clips for a job whose model takes minutes to start


def job(step, name):
    """A resource of a step's jobs, growing with each attempt."""
    value = config["resources"][step][name]
    if value == "auto":
        value = chosen(step).memory
    return lambda wildcards, attempt: value * attempt


def threads_of(step):
    wanted = config["resources"][step]["threads"]
    if wanted == "auto":
        return THREADS if gpus_of(step) else 1
    return wanted


def chosen(step):
    """The backend of a step, as the table of backends knows it."""
    return backends.entry(step, config[step]["backend"])


def steps_with_models():
    """Those whose backend needs files from elsewhere; embedded ones bring their own."""
    return [step for step in STEPS if chosen(step).environment != "video"]


def gpus_of(step):
    wanted = config["resources"][step].get("gpu", 0)
    wanted = chosen(step).gpus if wanted == "auto" else wanted
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
    return f"../envs/{chosen(step).environment}.yaml"


def clips_per_caption_job():
    """Kept clips to reckon with in a job of captioning or rewriting; None gives each shard a job."""
    if config["clips_per_caption_job"] != "auto":
        return config["clips_per_caption_job"]
    return ENGINE_CLIPS if chosen("caption").gpus or chosen("rewrite").gpus else None


GROUPS = shard_groups(SHARDS, clips_per_caption_job())
GROUP_OF = {shard: first for first, shards in GROUPS.items() for shard in shards}


def of_group(pattern):
    """The files of all shards that share the job of `wildcards.shard`, their first."""
    return lambda wildcards: expand(pattern, shard=GROUPS[wildcards.shard])


def texts_of_shard(wildcards):
    return f"{WORK}/rewrites/{GROUP_OF[wildcards.shard]}.parquet"


def lost_tables(wildcards):
    """Asks for the tables that failed jobs have taken with them.

    Snakemake by itself makes no table anew whose successors are there, though these are of other settings.
    """
    from clipmill import tables  # pyarrow, which jobs need not load

    return [f"{OUT}/{path}" for path in tables.lost(Path(OUT), SHARDS, GROUPS)]


def plan_settings(wildcards):
    """What a plan depends on: settings that make a job dear, cores and GPUs of a job, which shards share one."""
    return as_json(
        {
            "decode": config["decode"],
            "split": config["split"],
            "cut": cut_settings(),
            "steps": {step: settings_of(step) for step in STEPS},
            "resources": {
                step: {"threads": threads_of(step), "gpu": gpus_of(step)}
                for step in STEPS
            }
            | {
                step: {"threads": threads_of(step), "gpu": 0}
                for step in ("decode", "cut")
            },
            "clips_per_caption_job": clips_per_caption_job(),
            "dataset": [*rules.export_dataset.output],
            "quantiles": [stage for stage in STAGES if stage_quantiles(stage)],
        }
    )


def beautify_settings(wildcards):
    """What the backend of rewriting is made with to make prompts longer."""
    if not chosen("rewrite").chat:
        sys.exit(
            f"config: rewrite.backend: `{config['rewrite']['backend']}` writes no prompts; choose a language model"
        )
    return as_json(
        settings_of("rewrite", prompt="beautify", max_growth=100, on_failure="keep")
    )
