"""
in:  work/clips/<shard>.parquet, the frames of its videos, and the cheaper scores that may spare a clip this one
out: work/scores/<metric>/<shard>.parquet for the metrics that look at frames
"""


rule score_consistency:
    """Score how alike neighbouring samples of each clip are."""
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=cheaper_scores("consistency"),
        thresholds=resolved("consistency"),
        check=f"{WORK}/checks/consistency.json",
    output:
        scores=f"{WORK}/scores/consistency/{{shard}}.parquet",
    log:
        f"{OUT}/logs/consistency/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/consistency/{{shard}}.tsv"
    conda:
        environment("consistency")
    threads: threads_of("consistency")
    resources:
        mem_mb=job("consistency", "mem_mb"),
        runtime=job("consistency", "runtime"),
        gpu=gpus_of("consistency"),
        batch=batch_of("consistency"),
    params:
        metric="consistency",
        settings=lambda wildcards: score_settings("consistency"),
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


use rule score_consistency as score_aesthetic with:
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=cheaper_scores("aesthetic"),
        thresholds=resolved("aesthetic"),
        check=f"{WORK}/checks/aesthetic.json",
    output:
        scores=f"{WORK}/scores/aesthetic/{{shard}}.parquet",
    log:
        f"{OUT}/logs/aesthetic/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/aesthetic/{{shard}}.tsv"
    conda:
        environment("aesthetic")
    threads: threads_of("aesthetic")
    resources:
        mem_mb=job("aesthetic", "mem_mb"),
        runtime=job("aesthetic", "runtime"),
        gpu=gpus_of("aesthetic"),
        batch=batch_of("aesthetic"),
    params:
        metric="aesthetic",
        settings=lambda wildcards: score_settings("aesthetic"),


use rule score_consistency as score_text with:
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=cheaper_scores("text"),
        thresholds=resolved("text"),
        check=f"{WORK}/checks/text.json",
    output:
        scores=f"{WORK}/scores/text/{{shard}}.parquet",
    log:
        f"{OUT}/logs/text/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/text/{{shard}}.tsv"
    conda:
        environment("text")
    threads: threads_of("text")
    resources:
        mem_mb=job("text", "mem_mb"),
        runtime=job("text", "runtime"),
        gpu=gpus_of("text"),
        batch=batch_of("text"),
    params:
        metric="text",
        settings=lambda wildcards: score_settings("text"),
