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
    output:
        scores=f"{WORK}/scores/consistency/{{shard}}.parquet",
    log:
        f"{OUT}/logs/consistency/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/consistency/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: threads_of("consistency")
    resources:
        mem_mb=job("consistency", "mem_mb"),
        runtime=job("consistency", "runtime"),
    params:
        metric="consistency",
        settings=score_settings("consistency"),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/score.py \
            --metric {params.metric} \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --threads {threads} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --videos {input.videos:q} \
            --clips {input.clips:q} \
            --scores {input.scores:q} \
            --output {output.scores:q} \
            >{log:q} 2>&1
        """


use rule score_consistency as score_aesthetic with:
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=cheaper_scores("aesthetic"),
    output:
        scores=f"{WORK}/scores/aesthetic/{{shard}}.parquet",
    log:
        f"{OUT}/logs/aesthetic/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/aesthetic/{{shard}}.tsv"
    threads: threads_of("aesthetic")
    resources:
        mem_mb=job("aesthetic", "mem_mb"),
        runtime=job("aesthetic", "runtime"),
    params:
        metric="aesthetic",
        settings=score_settings("aesthetic"),


use rule score_consistency as score_text with:
    input:
        videos=f"{WORK}/videos/{{shard}}.parquet",
        clips=f"{WORK}/clips/{{shard}}.parquet",
        scores=cheaper_scores("text"),
    output:
        scores=f"{WORK}/scores/text/{{shard}}.parquet",
    log:
        f"{OUT}/logs/text/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/text/{{shard}}.tsv"
    conda:
        "../envs/video.yaml"
    threads: threads_of("text")
    resources:
        mem_mb=job("text", "mem_mb"),
        runtime=job("text", "runtime"),
    params:
        metric="text",
        settings=score_settings("text"),
