"""
in:  work/verdicts/<shard>.parquet, work/duplicates.parquet if the run has it, and the frames of the kept clips, or
     work/index/given/<shard>.parquet if captions are given; with caption.audio also work/videos/, work/parts/, the videos
out: work/captions/ and work/rewrites/ of a group of shards, named after the group's first shard

Settings with a prompt come from a function: in a string Snakemake would take the prompt's {placeholders} for wildcards.
"""


rule caption_clips:
    """Caption the kept clips of a group of shards."""
    input:
        clips=of_group(f"{WORK}/clips/{{shard}}.parquet"),
        verdicts=of_group(f"{WORK}/verdicts/{{shard}}.parquet"),
        duplicates=DUPLICATES,
        given=(
            of_group(f"{WORK}/index/given/{{shard}}.parquet") if CAPTIONS_GIVEN else []
        ),
        videos=of_group(f"{WORK}/videos/{{shard}}.parquet") if HEARS else [],
        parts=of_group(f"{WORK}/parts/{{shard}}.parquet") if HEARS else [],
        answers=f"{WORK}/judgements/{{shard}}.parquet" if JUDGES else [],
        check=checked("caption"),
    output:
        captions=f"{WORK}/captions/{{shard}}.parquet",
    log:
        f"{OUT}/logs/caption/{{shard}}.log",
    priority: priority_of("caption")
    conda:
        environment("caption")
    container:
        lambda wildcards: image_of("caption")
    threads: threads_of("caption")
    resources:
        mem_mb=resource("caption", "mem_mb"),
        runtime=resource("caption", "runtime"),
        gpu=gpus_of("caption"),
        batch=batch_of("caption"),
    params:
        shards=lambda wildcards: GROUPS[wildcards.shard],
        settings=lambda wildcards: as_json(
            {**backend_settings("caption"), **judgement(JUDGES)}
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/caption.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shards {params.shards} \
            --duplicates {input.duplicates:q} \
            --settings {params.settings:q} \
            --threads {threads} \
            --gpu {resources.gpu} \
            --batch {resources.batch} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --output {output.captions:q} \
            >{log:q} 2>&1
        """


rule rewrite_captions:
    """Rewrite the captions of a group of shards into the texts to train on."""
    input:
        captions=f"{WORK}/captions/{{shard}}.parquet",
        check=checked("rewrite"),
    output:
        texts=f"{WORK}/rewrites/{{shard}}.parquet",
    log:
        f"{OUT}/logs/rewrite/{{shard}}.log",
    priority: priority_of("rewrite")
    conda:
        environment("rewrite")
    container:
        lambda wildcards: image_of("rewrite")
    threads: threads_of("rewrite")
    resources:
        mem_mb=resource("rewrite", "mem_mb"),
        runtime=resource("rewrite", "runtime"),
        gpu=gpus_of("rewrite"),
        batch=batch_of("rewrite"),
    params:
        shards=lambda wildcards: GROUPS[wildcards.shard],
        settings=lambda wildcards: as_json(
            {
                "backend": backend_settings("rewrite"),
                "checks": config["text_checks"],
                **judgement(config["judge"]["with_caption"]),
            }
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/rewrite.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --shards {params.shards} \
            --settings {params.settings:q} \
            --threads {threads} \
            --gpu {resources.gpu} \
            --batch {resources.batch} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            --captions {input.captions:q} \
            --output {output.texts:q} \
            >{log:q} 2>&1
        """
