"""The detectors of `split.detector`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from clipmill.split.settings import SplitSettings
from clipmill.split.transitions import CHANGE, Transition, flashes, joined
from clipmill.split.transnetv2 import Shots, network_transitions
from clipmill.store.tables import Part

if TYPE_CHECKING:
    from clipmill.split.combined import Answers


class Finder:
    """Finds the transitions of one video with any settings; computes once what does not depend on thresholds.

    `signals`: its table SIGNALS. `parts`: its PARTS rows. Each part is searched alone, and begins with a transition.
    `shots`: what the network of `transnetv2` says of its frames; only that needs it.
    """

    def __init__(self, signals: pa.Table, parts: Sequence[Part], shots: Shots | None = None):
        self._finders = []
        for part in parts:
            first, stop = part["start_frame"], part["end_frame"]
            own = None if shots is None else (shots[0][first:stop], shots[1][first:stop])
            self._finders.append((first, PartFinder(signals.slice(first, stop - first), part["fps"], own)))

    def find(self, settings: SplitSettings) -> list[Transition]:
        """The transitions, in order of time, by the detector of `settings`."""
        found = []
        for first, finder in self._finders:
            if first > 0:
                found.append(Transition(first, first, CHANGE, 1.0))
            found += [one._replace(start=one.start + first, end=one.end + first) for one in finder.find(settings)]
        return found


class PartFinder:
    """Finds the transitions of one part of a video, as `Finder` does, from its signals and its rate."""

    def __init__(self, signals: pa.Table, fps: float, shots: Shots | None = None):
        self._signals, self._fps, self._shots = signals, fps, shots

    def find(self, settings: SplitSettings) -> list[Transition]:
        """The transitions, in order of time, by the detector of `settings`."""
        if settings.detector in ("combined", "transnetv2"):
            found = self._answers.transitions(settings.combined_cut, settings.combined_gradual)
            if settings.detector == "transnetv2":
                assert self._shots is not None  # the rule gives them
                network = network_transitions(*self._shots, settings.transnetv2["threshold"])
                if settings.stitch:  # of `combined` only cuts are tried below: it knows flashes, and fades out and in
                    network = [one for one in network if not self._is_flash(one)]
                found = joined(network, found)
        else:
            from clipmill.split.pyscenedetect import find_cuts  # its import takes longer than many videos

            content = self._signals["content"].to_numpy()
            found = [Transition(cut, cut, "cut", float(content[cut]) / 255) for cut in find_cuts(content, settings)]
        if settings.stitch:
            found = [one for one in found if one.start < one.end or not self._is_flash(one)]
        return found

    @cached_property
    def _answers(self) -> Answers:
        from clipmill.split.combined import answers

        return answers(self._signals, self._fps)

    @cached_property
    def _is_flash(self) -> Callable[[Transition], bool]:
        return flashes(self._signals, self._fps)
