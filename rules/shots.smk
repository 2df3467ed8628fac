"""
in:  work/videos/<shard>.parquet, and the miniatures and signals of its videos
out: work/shots/<shard>.parquet. The rule is there only with `split.detector: transnetv2`
"""

if BY_NETWORK:

    rule detect_shots:
        """Look for transitions between shots in the miniatures, by a network."""
        input:
            videos=f"{WORK}/videos/{{shard}}.parquet",
            check=checked("shots"),
        output:
            shots=f"{WORK}/shots/{{shard}}.parquet",
        log:
            f"{OUT}/logs/shots/{{shard}}.log",
        priority: priority_of("shots")
        conda:
            environment("shots")
        container:
            lambda wildcards: image_of("shots")
        threads: threads_of("shots")
        resources:
            mem_mb=resource("shots", "mem_mb"),
            runtime=resource("shots", "runtime"),
            gpu=gpus_of("shots"),
            batch=batch_of("shots"),
        params:
            settings=lambda wildcards: as_json(backend_settings("shots")),
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/shots.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --shard {wildcards.shard} \
                --settings {params.settings:q} \
                --threads {threads} \
                --gpu {resources.gpu} \
                --batch {resources.batch} \
                --videos {input.videos:q} \
                --output {output.shots:q} \
                >{log:q} 2>&1
            """
