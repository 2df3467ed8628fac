"""
in:  the sections `resources` of the config, and the table of backends
out: helpers: what a job of each step may use, and the environment that it runs in
"""

MODEL_MEMORY = 12000  # MB: what a job with a vision model takes at most


def job(step, name):
    """A resource of a step's jobs, growing with each attempt."""
    value = config["resources"][step][name]
    if value == "auto":
        value = MODEL_MEMORY if chosen(step).gpus else 1500
    return lambda wildcards, attempt: value * attempt


def threads_of(step):
    return config["resources"][step]["threads"]


def chosen(step):
    """The backend of a step, as the table of backends knows it."""
    return backends.entry(step, config[step]["backend"])


def steps_with_models():
    """Those whose backend needs files from elsewhere; embedded ones bring their own."""
    return [step for step in STEPS if chosen(step).environment != "video"]


def gpus_of(step):
    wanted = config["resources"][step].get("gpu", 0)
    return chosen(step).gpus if wanted == "auto" else wanted


def batch_of(step):
    """Units in a batch; 0 is the backend's own choice."""
    return config["resources"][step]["batch"] or 0


def environment(step):
    return f"../envs/{chosen(step).environment}.yaml"
