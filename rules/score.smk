"""
in:  work/clips/<shard>.parquet, the frames of its videos, and the cheaper scores, by which clips may skip this one
out: work/scores/<metric>/<shard>.parquet for the metrics that look at frames
"""


def cheaper_scores(metric):
    """The score tables that say which clips `metric` may skip."""
    costly = costly_before(metric, FILTER_ORDER) if config["cascade"] else []
    return [f"{WORK}/scores/{name}/{{shard}}.parquet" for name in (*MEASURED, *costly)]


def score_settings(metric):
    """Everything that a costly score depends on."""
    return as_json(
        {"backend": backend_settings(metric), **filter_settings(spared_by(metric))}
    )


for metric in METRICS:

    rule:
        name:
            f"score_{metric}"
        input:
            videos=f"{WORK}/videos/{{shard}}.parquet",
            clips=f"{WORK}/clips/{{shard}}.parquet",
            scores=cheaper_scores(metric),
            thresholds=resolved(metric),
            check=f"{WORK}/checks/{metric}.json",
        output:
            scores=f"{WORK}/scores/{metric}/{{shard}}.parquet",
        log:
            f"{OUT}/logs/{metric}/{{shard}}.log",
        benchmark:
            f"{OUT}/benchmarks/{metric}/{{shard}}.tsv"
        conda:
            environment(metric)
        threads: threads_of(metric)
        resources:
            mem_mb=resource(metric, "mem_mb"),
            runtime=resource(metric, "runtime"),
            gpu=gpus_of(metric),
            batch=batch_of(metric),
        params:
            metric=metric,
            settings=lambda wildcards, metric=metric: score_settings(metric),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/score.py \
                --metric {params.metric} \
                --outdir "$CLIPMILL_OUTDIR" \
                --shard {wildcards.shard} \
                --settings {params.settings:q} \
                --threads {threads} \
                --gpu {resources.gpu} \
                --batch {resources.batch} \
                --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
                --videos {input.videos:q} \
                --clips {input.clips:q} \
                --scores {input.scores:q} \
                --thresholds {input.thresholds:q} \
                --output {output.scores:q} \
                >{log:q} 2>&1
            """
