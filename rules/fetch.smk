"""
in:  work/index/shards/<shard>.jsonl, and what it names that is no file of its own: members of archives, and with
     `fetch.own_jobs` files at addresses
out: work/fetch/<shard>.parquet; beside it, undeclared, the videos' files in `fetch.directory`, until they are decoded.
     The rule is there only if the index has such videos
"""

if TO_FETCH:

    rule fetch_videos:
        """Fetch the videos of a shard that are no files of their own."""
        input:
            videos=f"{WORK}/index/shards/{{shard}}.jsonl",
        output:
            fetched=f"{WORK}/fetch/{{shard}}.parquet",
        log:
            f"{OUT}/logs/fetch/{{shard}}.log",
        # The least: videos are fetched when no fetched ones wait, so that few of them fill the disk at a time.
        priority: 0
        conda:
            "../envs/video.yaml"
        container:
            lambda wildcards: image("video")
        threads: threads_of("fetch")
        resources:
            mem_mb=resource("fetch", "mem_mb"),
            runtime=resource("fetch", "runtime"),
            # So that `--resources fetch_jobs=4` bounds how many shards are fetched at a time.
            fetch_jobs=1,
        shell:
            r"""
            python "$CLIPMILL_SCRIPTS"/fetch.py \
                --outdir "$CLIPMILL_OUTDIR" \
                --shard {wildcards.shard} \
                --threads {threads} \
                --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
                --output {output.fetched:q} \
                >{log:q} 2>&1
            """
