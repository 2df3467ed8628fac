"""
in:  the config, and the file `prompts`
out: <prompts>.beautified.jsonl beside it. Undeclared: a journal holds the finished prompts, so none is computed twice
"""


rule beautify:
    """Write short prompts in the style of the training captions: `snakemake beautify --config prompts=FILE`."""
    input:
        needed=require_config_keys("prompts"),
        model=require_chat("rewrite"),
    log:
        f"{OUT}/logs/beautify/beautify.log",
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
        prompts=lambda wildcards: config["prompts"],
        # Longer prompts are what is wanted here.
        settings=lambda wildcards: as_json(
            backend_settings(
                "rewrite", prompt="beautify", max_growth=100, on_failure="keep"
            )
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/beautify.py \
            --outdir "$CLIPMILL_OUTDIR" \
            --prompts {params.prompts:q} \
            --settings {params.settings:q} \
            --threads {threads} \
            --gpu {resources.gpu} \
            --batch {resources.batch} \
            --max-error-rate "$CLIPMILL_MAX_ERROR_RATE" \
            2>{log:q}
        """
