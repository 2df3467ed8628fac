"""
in:  the config alone
out: work/checks/<step>.json: says that the step's backend runs, and which models it uses
"""

# Steps whose backend needs files from elsewhere; embedded backends bring their own.
WITH_MODELS = [
    step for step in WITH_BACKENDS if backend_entry(step).environment != "video"
]


rule check_backend:
    """Check that a step's backend can run: its packages, its model files, the device. Before any other job."""
    output:
        models=f"{WORK}/checks/{{step}}.json",
    log:
        f"{OUT}/logs/check/{{step}}.log",
    priority: 100
    conda:
        lambda wildcards: environment(wildcards.step)
    resources:
        mem_mb=lambda wildcards, attempt: resource(wildcards.step, "mem_mb")(
            wildcards, attempt
        ),
        runtime=resource("instant", "runtime"),
        gpu=lambda wildcards: gpus_of(wildcards.step),
    params:
        settings=lambda wildcards: as_json(backend_settings(wildcards.step)),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/check.py \
            --step {wildcards.step} \
            --settings {params.settings:q} \
            --gpu {resources.gpu} \
            --output {output.models:q} \
            >{log:q} 2>&1
        """


rule fetch_models:
    """Fetch the models that the config needs, on a machine with internet; the run itself may then have none."""
    log:
        f"{OUT}/logs/check/fetch_models.log",
    localrule: True
    conda:
        "../envs/vision.yaml"
    params:
        settings=lambda wildcards: as_json(
            {step: backend_settings(step) for step in WITH_MODELS}
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/fetch_models.py \
            --settings {params.settings:q} \
            2>{log:q}
        """
