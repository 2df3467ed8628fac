"""
in:  work/clips/<shard>.parquet, the frames of its videos, and the cheaper scores, by which clips may skip these
out: work/scores/<metric>/<shard>.parquet for the metrics that look at frames

A metric has a job of its own, `score_<metric>`, with its own environment and device. Embedded metrics share one,
`score_clips`: starting Python for each of them would take longer than many shards.
"""


def cheaper_scores(metric):
    """The score tables that say which clips `metric` may skip."""
    costly = costly_before(metric, FILTER_ORDER) if config["cascade"] else []
    return [f"{WORK}/scores/{name}/{{shard}}.parquet" for name in (*MEASURED, *costly)]


def score_settings(metric):
    """Everything that a costly score depends on."""
    return {"backend": backend_settings(metric), **filter_settings(spared_by(metric))}


for metrics in SCORE_JOBS:

    rule:
        name:
            score_rule(metrics)
        input:
            videos=f"{WORK}/videos/{{shard}}.parquet",
            clips=f"{WORK}/clips/{{shard}}.parquet",
            scores=cheaper_scores(metrics[0]),
            thresholds=resolved(metrics[0]),
            check=[checked(metric) for metric in metrics],
        output:
            scores=expand(
                f"{WORK}/scores/{{metric}}/{{{{shard}}}}.parquet", metric=metrics
            ),
        log:
            f"{OUT}/logs/{metrics[0] if len(metrics) == 1 else 'scores'}/{{shard}}.log",
        priority: priority_of(metrics[0])
        conda:
            environment(metrics[0])
        container:
            lambda wildcards: image_of(metrics[0])
        threads: max(map(threads_of, metrics))
        resources:
            mem_mb=resource_together("mem_mb", metrics),
            runtime=resource_together("runtime", metrics),
            gpu=max(map(gpus_of, metrics)),
            batch=max(map(batch_of, metrics)),
        params:
            metrics=metrics,
            settings=lambda wildcards, metrics=metrics: as_json(
                one_or_list(map(score_settings, metrics))
            ),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/score.py \
                --metrics {params.metrics} \
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
                --outputs {output.scores:q} \
                >{log:q} 2>&1
            """
