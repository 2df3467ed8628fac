"""How long a run will take: its jobs on the cores of this machine, or side by side on a cluster.

Jobs of one shard follow each other; those of different shards run at the same time. So a run takes at least as long as
its longest shard, and as all jobs take on all cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from clipmill.plan import rates
from clipmill.plan.progress_of_run import Shard, Work
from clipmill.steps import Step, by_name

UNKNOWN_ERROR = (0.5, 1.0)  # of a rate from another machine: between half and twice as long
MOST_BELOW = 0.9  # no estimate is said to be ten times too high


def wall_time(
    work: Work,
    to_come: Callable[[Step, Shard], float],
    rules: Sequence[Mapping[str, Any]],
    workers: Mapping[str, int | None],
    headers_error: float,
) -> dict[str, Any]:
    """Seconds, and the `least` and `most` of them by the errors of the rates; rules without a rate are left out.

    `to_come`: a shard's units of work for a step. `rules`: rows of the plan. `headers_error`: share of the hours.
    `workers`: `cores` of this machine; `cluster_jobs` at once, None if the run is not on a cluster.
    """
    count = workers["cluster_jobs"] or workers["cores"] or 1
    latency = 0.0 if workers["cluster_jobs"] else rates.ENGINE_A_JOB  # a cluster's is in the starts
    at_once, slots = dict.fromkeys(work.shards, 0.0), 0.0  # seconds: of each shard's jobs, and of all jobs
    for rule in rules:
        if "steps" not in rule or math.isnan(rule["core_seconds_a_unit"]):
            continue
        step = by_name(rule["steps"][0])
        threads = rule["threads_a_job"] if workers["cluster_jobs"] else min(rule["threads_a_job"], count)
        for shards in work.missing[step.name].values():
            held = rule["core_seconds_a_unit"] * sum(to_come(step, work.shards[shard]) for shard in shards)
            seconds = held / threads + rule["seconds_a_start"] + latency
            slots += seconds * (1 if workers["cluster_jobs"] else threads)
            for shard in shards:
                at_once[shard] += seconds
    alone = [rule for rule in rules if "steps" not in rule and rule["jobs"]]  # of all shards
    known = [rule["core_hours"] for rule in alone if not math.isnan(rule["core_hours"])]
    serial = math.fsum(hours * rates.HOUR_SECONDS + latency for hours in known)
    seconds = max(slots / count, max(at_once.values(), default=0.0)) + serial
    seconds += rates.ENGINE_START if any(rule["jobs"] for rule in rules) else 0.0
    below, above = (share + (0.0 if math.isnan(headers_error) else headers_error) for share in _error(rules))
    below = min(below, MOST_BELOW)
    return {"seconds": seconds, "least": seconds * (1 - below), "most": seconds * (1 + above), **workers}


def _error(rules: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """How much too high and too low the time may be, as shares: the errors of the rules, by their core-hours."""
    known = [rule for rule in rules if rule["core_hours"] > 0]  # rules that have jobs and a rate
    hours = math.fsum(rule["core_hours"] for rule in known)
    if not hours:
        return 0.0, 0.0
    errors = [UNKNOWN_ERROR if rule["error"] is None else (rule["error"], rule["error"]) for rule in known]
    below, above = (
        math.fsum(rule["core_hours"] * error[side] for rule, error in zip(known, errors, strict=True)) / hours
        for side in (0, 1)
    )
    return below, above
