"""
in:  work/verdicts/<shard>.parquet, work/duplicates.parquet if the run has it, and the frames of the kept clips
out: work/judgements/ of a group of shards, as captions. The rule is there only with a `judge.backend`
"""

if JUDGES:

    rule judge_clips:
        """Ask a language model the questions of the config about the kept clips of a group of shards."""
        input:
            clips=of_group(f"{WORK}/clips/{{shard}}.parquet"),
            verdicts=of_group(f"{WORK}/verdicts/{{shard}}.parquet"),
            duplicates=DUPLICATES,
            check=checked("judge"),
        output:
            answers=f"{WORK}/judgements/{{shard}}.parquet",
        log:
            f"{OUT}/logs/judge/{{shard}}.log",
        priority: priority_of("judge")
        conda:
            environment("judge")
        container:
            lambda wildcards: image_of("judge")
        threads: threads_of("judge")
        resources:
            mem_mb=resource("judge", "mem_mb"),
            runtime=resource("judge", "runtime"),
            gpu=gpus_of("judge"),
            batch=batch_of("judge"),
        params:
            shards=lambda wildcards: GROUPS[wildcards.shard],
            settings=lambda wildcards: as_json(backend_settings("judge")),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/judge.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --shards {params.shards} \
                --duplicates {input.duplicates:q} \
                --settings {params.settings:q} \
                --threads {threads} \
                --gpu {resources.gpu} \
                --batch {resources.batch} \
                --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
                --output {output.answers:q} \
                >{log:q} 2>&1
            """
