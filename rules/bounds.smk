"""
in:  the sections `filters`, `filter_order`, `cascade` and `text_checks` of the config
out: helpers: what the rules that judge clips need to know; the stages at which quantiles are resolved
"""

from clipmill import thresholds, verdict

# Each but `filter` and `late` is a costly score that clips are spared, and has a stage of its own: the clips that count
# for a quantile are those that came so far.
STAGES = (*verdict.COSTLY, "filter", "late")


def bounds(order):
    """The filters in `order`, and that order, for the tools that give verdicts."""
    return {
        "filters": {name: config["filters"][name] for name in order},
        "order": order,
    }


def late_verdict():
    """What may speak against a clip that has a text, for the tools that give the last verdict."""
    return {"checks": config["text_checks"], **bounds(verdict.LATE_FILTERS)}


def report_settings():
    """By what a run has judged its clips, for the page that shows it."""
    every = bounds([*config["filter_order"], *verdict.LATE_FILTERS])
    return {
        **every,
        "order": config["filter_order"],
        "cascade": config["cascade"],
    }


def cascade_order(metric):
    """The filters whose failures spare a clip the costly `metric`."""
    return verdict.before(metric, config["filter_order"]) if config["cascade"] else []


def score_settings(metric):
    """Everything that a costly score depends on."""
    return as_json({"backend": settings_of(metric), **bounds(cascade_order(metric))})


def cheaper_scores(metric):
    """The score tables that say which clips `metric` may skip."""
    names = ["motion", "technical"]
    names += (
        verdict.costly_before(metric, config["filter_order"])
        if config["cascade"]
        else []
    )
    return [f"{WORK}/scores/{name}/{{shard}}.parquet" for name in names]


def stage_quantiles(stage):
    """The bounds that are quantiles among the filters that are looked at in a stage."""
    orders = {"filter": config["filter_order"], "late": verdict.LATE_FILTERS}
    order = orders[stage] if stage in orders else cascade_order(stage)
    return thresholds.quantiles(bounds(order)["filters"])


def quantile_tables(wildcards):
    """All that the quantiles of a stage are found in, of all shards."""
    folders = {thresholds.source(name) for name in stage_quantiles(wildcards.stage)}
    names = ["clips"] + sorted(
        name if name == "videos" else f"scores/{name}" for name in folders
    )
    return expand(f"{WORK}/{{name}}/{{shard}}.parquet", name=names, shard=SHARDS)


def resolved(*stages):
    """The files with the values of the quantiles of these stages; none where no threshold is one.

    A sample's run keeps what is proposed from it.
    """
    if CALIBRATES:
        return [f"{WORK}/thresholds/proposed.json"] if "filter" in stages else []
    return [
        f"{WORK}/thresholds/{stage}.json" for stage in stages if stage_quantiles(stage)
    ]
