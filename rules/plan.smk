"""
in:  the index of videos, and what the run has finished so far
out: only its log; the plan itself goes to the terminal
"""


rule plan:
    """Say what a run will do and cost, before it runs: `snakemake plan`. It has no output, so it runs each time."""
    input:
        needed=require_config_keys("videos"),
    log:
        f"{OUT}/logs/plan/plan.log",
    localrule: True
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    params:
        # Settings that make a job expensive, its cores and GPUs, and which shards share a job.
        settings=lambda wildcards: as_json(
            {
                **(
                    {"fetch": {"own_jobs": config["fetch"]["own_jobs"]}}
                    if TO_FETCH
                    else {}
                ),
                "decode": DECODE_SETTINGS,
                "split": SPLIT_SETTINGS,
                "cut": CUT_SETTINGS,
                "duplicates": DUPLICATE_STEPS,
                "steps": {step: backend_settings(step) for step in WITH_BACKENDS},
                "resources": {
                    step: {"threads": threads_of(step), "gpu": gpus_of(step)}
                    for step in ("decode", *WITH_BACKENDS, "duplicates", "cut")
                },
                "clips_per_caption_job": clips_per_caption_job(),
                "dataset": [*rules.export_dataset.output],
                "videos_per_shard": config["videos_per_shard"],
                "workers": {"cores": CORES, "cluster_jobs": CLUSTER_JOBS},
                "score_jobs": {score_rule(job): job for job in SCORE_JOBS},
                "quantiles": [stage for stage in STAGES if stage_quantiles(stage)],
            }
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/plan.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            2>{log:q}
        """
