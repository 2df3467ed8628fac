"""
in:  work/index/shards/<shard>.jsonl, and the videos that it names
out: work/videos/<shard>.parquet; beside it, undeclared, work/signals/ and work/frames/ per video
"""


rule decode_videos:
    """Decode each video of a shard, the one time that its pixels are read."""
    input:
        videos=f"{WORK}/index/shards/{{shard}}.jsonl",
    output:
        videos=f"{WORK}/videos/{{shard}}.parquet",
    log:
        f"{OUT}/logs/decode/{{shard}}.log",
    benchmark:
        f"{OUT}/benchmarks/decode/{{shard}}.tsv"
    threads: threads_of("decode")
    resources:
        mem_mb=job("decode", "mem_mb"),
        runtime=job("decode", "runtime"),
    params:
        settings=as_json(config["decode"]),
    shell:
        r"""
        python {SCRIPTS:q}/decode.py \
            --outdir {config[outdir]:q} \
            --shard {wildcards.shard} \
            --settings {params.settings:q} \
            --threads {threads} \
            --max-error-rate {MAX_ERROR_RATE} \
            --videos {input.videos:q} \
            --output {output.videos:q} \
            > {log:q} 2>&1
        """
