"""Texts to calibrate a language model: it reads them while the weights that matter most are found.

The captions of a run are the best texts, since the model will write such texts. `GENERIC` is used if there are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clipmill.base.errors import SetupError
from clipmill.base.human import counted
from clipmill.store import tables


@dataclass(frozen=True)
class Calibration:
    """`texts`: the chosen texts. `source`: in words, where they come from and how many there were."""

    texts: tuple[str, ...]
    source: str

    @property
    def digest(self) -> str:
        """16 hex digits that identify the texts."""
        return hashlib.sha256("\0".join(self.texts).encode()).hexdigest()[:16]


def find_texts(file: str | None, outdir: Path, count: int) -> Calibration:
    """At most `count` texts: of `file` (one text per line), else the captions of the run in `outdir`, else GENERIC.

    If a run has fewer captions than GENERIC has texts, both are used. The choice depends on the texts alone, not on
    their order. Raises SetupError if `file` does not exist, is not UTF-8 or is empty.
    """
    if file is not None:
        texts = _lines(Path(file).expanduser())
        return Calibration(_choose(texts, count), f"the {counted(len(texts), 'text')} of {file}")
    for table, column in ((tables.REWRITES, "text"), (tables.CAPTIONS, "caption")):
        paths = sorted((outdir / table.path).parent.glob("*.parquet"))
        texts = {text.strip() for path in paths for text in table.read(path, [column])[column].to_pylist() if text}
        texts.discard("")
        if texts:
            source = f"the {counted(len(texts), 'text')} of {(outdir / table.path).parent}"
            if len(texts) >= len(GENERIC):
                return Calibration(_choose(texts, count), source)
            texts |= set(GENERIC)
            return Calibration(_choose(texts, count), f"{source}, too few, and {len(GENERIC)} generic ones")
    return Calibration(_choose(GENERIC, count), f"the {len(GENERIC)} generic texts of clipmill: no caption in {outdir}")


def _lines(path: Path) -> set[str]:
    try:
        texts = {line.strip() for line in path.read_text(encoding="utf-8").splitlines()} - {""}
    except FileNotFoundError:
        raise SetupError(f"quantize.calibration_texts: there is no file {path}; correct the path") from None
    except UnicodeDecodeError as error:
        raise SetupError(f"quantize.calibration_texts: {path} is no text in UTF-8 ({error})") from error
    if not texts:
        raise SetupError(f"quantize.calibration_texts: {path} is empty; write a text on each line")
    return texts


def _choose(texts: Iterable[str], count: int) -> tuple[str, ...]:
    """A choice that is as good as random, does not depend on the order, and changes little if texts are added."""
    return tuple(sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[:count])


# Written for this purpose: people, animals, places, things, camera, light, styles; short and long.
GENERIC = (
    "A woman in a yellow raincoat walks a small brown dog along a wet pier while grey waves break against the wooden "
    "posts. The camera follows her from behind at shoulder height and slowly rises as she reaches the railing.",
    "Close-up of two hands kneading bread dough on a floured table. The fingers fold the dough over, press it down "
    "and turn it a quarter, and flour dust hangs in the sunlight that falls in from the left.",
    "A red tram turns a corner in an old city at dusk. Its windows are lit, passengers stand holding the straps, and "
    "the rails shine with rain. The camera stands still at the level of the street.",
    "Aerial view of a river that winds through a pine forest in autumn. The drone flies forward over the water, then "
    "tilts up until snow-covered mountains appear at the horizon.",
    "A boy of about ten kicks a football against a garage door, catches the rebound with his chest and laughs. "
    "Handheld footage, late afternoon, long shadows on the concrete.",
    "An elderly man with round glasses repairs a pocket watch. Under a bright lamp he lifts a tiny cog with tweezers "
    "and sets it into the case; the picture is so close that every scratch in the brass can be seen.",
    "A flock of starlings swirls over a field at sunset, draws together into a dark ball and stretches out again like "
    "smoke. Orange sky, no people, a static wide shot.",
    "Three friends sit around a campfire on a beach at night. One of them plays the guitar, the others sing along, and "
    "sparks rise into the dark. The fire is the only light on their faces.",
    "A chef in a white jacket tosses vegetables in a steel pan. Flames flare up at the edge, the pan comes down, and "
    "he sprinkles chopped parsley over it. The cut to a plate follows within the same take.",
    "Time-lapse of clouds that move quickly over a row of wind turbines on a green hill. Their shadows race across "
    "the grass, and the light changes from bright noon to a soft evening.",
    "A white cat lies on a windowsill, blinks, stretches its front legs and jumps down out of the frame. Behind the "
    "glass snow is falling on parked cars.",
    "A cyclist in a blue jersey climbs a steep mountain road. The camera drives beside him at the same speed, so that "
    "the rocks behind him are blurred while his face stays sharp.",
    "An animated paper boat drifts down a gutter between fallen leaves. Drops of rain make rings in the water. The "
    "style is that of a watercolour picture book with soft edges and pale colours.",
    "Interior of a library with dark wooden shelves up to the ceiling. A young woman on a ladder pulls out a thick "
    "book, blows the dust from it and opens it. Warm light, slow pan to the right.",
    "A street vendor pours batter onto a hot plate, spreads it in a circle, breaks an egg over it and folds the "
    "pancake twice. People wait in line behind him; signs in several languages hang above the stall.",
    "A black and white shot of an empty railway station. Newspapers blow across the platform, a clock hangs from the "
    "roof, and after a few seconds a steam train enters from the right.",
    "A diver swims through a swarm of silver fish above a coral reef. Sunbeams reach down through the clear blue "
    "water, and bubbles rise whenever she breathes out.",
    "Two toddlers build a tower of wooden blocks on a carpet. The tower sways, falls, and both of them clap their "
    "hands. The camera is placed on the floor, at their height.",
    "A welder in a dark workshop bends over a steel frame. Bright sparks spray toward the lens, and with each flash "
    "the tools on the wall become visible for an instant.",
    "Slow motion of a drop of milk that falls into a bowl, throws up a crown of smaller drops and sinks back. Plain "
    "black background, light from both sides.",
    "A crowd crosses a wide junction in the rain, seen from a high window. Hundreds of umbrellas, most of them black "
    "and a few red, move through one another in all directions.",
    "A horse gallops along a fence in the morning mist. Its breath is visible, its mane is blown back, and the camera "
    "pans with it until it stops beside two others.",
    "A man in a suit gives a speech at a wooden desk. He looks at his notes, raises one hand and points to a chart on "
    "the screen behind him, which shows a rising green line.",
    "First-person view of a ski run between fir trees. The tips of the skis swing left and right in fresh snow, and a "
    "skier in orange is far ahead.",
    "A girl draws with chalk on the pavement: a sun, a house with a smoking chimney, a tree. She sits back on her "
    "heels, looks at it and adds a bird in pink.",
    "A robot arm in a factory picks up windscreens and sets them into car bodies that pass by on a belt. The movement "
    "repeats three times without a pause; nobody else is in the hall.",
    "Macro shot of a bee on a lavender blossom. It crawls upward, its legs are yellow with pollen, and then it flies "
    "off. The background is a smooth blur of violet and green.",
    "A couple dances tango in an almost empty ballroom. She wears a dark green dress; he leads her backwards in long "
    "steps while the camera circles around them once.",
    "A lighthouse stands on a cliff during a storm. Waves hit the rocks and throw spray as high as its gallery, and "
    "the beam of light sweeps across the rain every few seconds.",
    "A student types on a laptop in a bright café, stops, bites into an apple and goes on. A waiter passes in front "
    "of the lens with a tray of glasses.",
    "A computer-generated city of glass towers at night, with cars flying between them on lanes of blue light. The "
    "camera dives from above the roofs down to a market full of neon signs.",
    "Rain runs down a window pane at night. Behind it the lights of the street are soft discs of white, red and green "
    "that grow and shrink as cars come near and turn away.",
)
