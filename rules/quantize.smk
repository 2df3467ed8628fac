"""
in:  the config alone: `model`; the run's captions, where there are some
out: the folder `out`, a model in 4 bits. Undeclared: Snakemake would delete files from a folder that is not its own
"""

# The conda environment of each backend.
QUANTIZERS = {"autoawq": "awq", "llm-compressor": "llm-compressor"}


rule quantize:
    """Make a 4-bit AWQ checkpoint of a language model: `snakemake quantize --config model=NAME out=FOLDER`."""
    input:
        needed=require_config_keys("model", "out"),
    log:
        f"{OUT}/logs/quantize/quantize.log",
    conda:
        f"../envs/{QUANTIZERS[config['quantize']['backend']]}.yaml"
    container:
        lambda wildcards: image(QUANTIZERS[config["quantize"]["backend"]])
    threads: threads_of("quantize")
    resources:
        mem_mb=resource("quantize", "mem_mb"),
        runtime=resource("quantize", "runtime"),
        gpu=gpus_of("quantize"),
    params:
        model=lambda wildcards: config["model"],
        out=lambda wildcards: config["out"],
        settings=lambda wildcards: as_json(config["quantize"]),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/quantize.py \
            --model {params.model:q} \
            --out {params.out:q} \
            --outdir "$CLIPMILL_OUTDIR" \
            --settings {params.settings:q} \
            --threads {threads} \
            --gpu {resources.gpu} \
            >{log:q} 2>&1
        """
