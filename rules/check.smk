"""
in:  the config alone
out: work/checks/<step>.json: says that the step's backend runs, and which models it uses
"""

# Steps whose backend needs packages or files from elsewhere: `fetch_models` gets them.
WITH_MODELS = [
    step
    for step in WITH_BACKENDS
    if backend_entry(step).environment != "video" or backend_entry(step).weights
]


rule check_backend:
    """Check that a step's backend can run: its packages, its model files, the device. Before any other job."""
    output:
        models=f"{WORK}/checks/{{step}}.json",
    log:
        f"{OUT}/logs/check/{{step}}.log",
    wildcard_constraints:
        step="|".join(CHECKED_ALONE) or "none",
    priority: 100
    conda:
        lambda wildcards: environment(wildcards.step)
    container:
        lambda wildcards: image_of(wildcards.step)
    resources:
        mem_mb=lambda wildcards, attempt: resource(wildcards.step, "mem_mb")(
            wildcards, attempt
        ),
        runtime=resource("instant", "runtime"),
        gpu=lambda wildcards: gpus_of(wildcards.step),
    params:
        settings=lambda wildcards: as_json(
            {wildcards.step: backend_settings(wildcards.step)}
        ),
    shell:
        r"""
        python "$CLIPMILL_SCRIPTS"/check.py \
            --settings {params.settings:q} \
            --gpu {resources.gpu} \
            --outputs {output:q} \
            >{log:q} 2>&1
        """


if EMBEDDED:

    use rule check_backend as check_embedded with:
        output:
            expand(f"{WORK}/checks/{{step}}.json", step=EMBEDDED),
        log:
            f"{OUT}/logs/check/embedded.log",
        conda:
            "../envs/video.yaml"
        container:
            lambda wildcards: image("video")
        resources:
            mem_mb=resource("instant", "mem_mb"),
            runtime=resource("instant", "runtime"),
            gpu=0,
        params:
            settings=lambda wildcards: as_json(
                {step: backend_settings(step) for step in EMBEDDED}
            ),


rule fetch_models:
    """Fetch the models that the config needs, on a machine with internet; the run itself may then have none."""
    log:
        f"{OUT}/logs/check/fetch_models.log",
    localrule: True
    conda:
        "../envs/vision.yaml"
    container:
        lambda wildcards: image("vision")
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
