"""
in:  the texts of a shard, and the frames of their clips
out: work/scores/alignment/<shard>.parquet
"""


rule align_captions:
    """Score how well the texts of a shard fit their clips."""
    input:
        clips=f"{WORK}/clips/{{shard}}.parquet",
        texts=texts_of_shard,
        check=checked("alignment"),
    output:
        scores=f"{WORK}/scores/alignment/{{shard}}.parquet",
    log:
        f"{OUT}/logs/alignment/{{shard}}.log",
    priority: priority_of("alignment")
    conda:
        environment("alignment")
    container:
        lambda wildcards: image_of("alignment")
    threads: threads_of("alignment")
    resources:
        mem_mb=resource("alignment", "mem_mb"),
        runtime=resource("alignment", "runtime"),
        gpu=gpus_of("alignment"),
        batch=batch_of("alignment"),
    params:
        settings=lambda wildcards: as_json(backend_settings("alignment")),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/align.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --threads {threads} \
            --gpu {resources.gpu} \
            --batch {resources.batch} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --clips {input.clips:q} \
            --texts {input.texts:q} \
            --output {output.scores:q} \
            >{log:q} 2>&1
        """
