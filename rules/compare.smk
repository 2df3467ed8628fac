"""
in:  the config alone: `run_a` and `run_b`, the output folders of two finished runs. They are no inputs: Snakemake would make them
out: compare.html. Undeclared, so it is written anew each time
"""


rule compare:
    """Compare two runs, blindly where captions differ: `snakemake compare --config run_a=FOLDER run_b=FOLDER`."""
    input:
        needed=require_config_keys("run_a", "run_b"),
    log:
        f"{OUT}/logs/compare/compare.log",
    localrule: True
    conda:
        "../envs/video.yaml"
    container:
        lambda wildcards: image("video")
    params:
        a=lambda wildcards: config["run_a"],
        b=lambda wildcards: config["run_b"],
        settings=lambda wildcards: as_json(config["compare"]),
        page=f"{OUT}/compare.html",
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/compare.py \
            --a {params.a:q} \
            --b {params.b:q} \
            --settings {params.settings:q} \
            --output {params.page:q} \
            2>{log:q}
        """
