"""Masks of what is no picture, as trainers read them beside clips."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import pytest
from made_exports import Clip, Export

from clipmill.base.opencv import cv2
from clipmill.dataset.formats.masks import Masks

BARS = [0.0, 0.0, 640.0, 45.0, 0.0, 313.5, 640.0, 360.0]


def mask_of(
    size: Any = None, cut: tuple[int, int] = (640, 360), masked: Any = BARS, resolutions: Any = None
) -> np.ndarray:
    row = {"width": 640, "height": 360, "cut_width": cut[0], "cut_height": cut[1], "masked": masked}
    data = Masks(size, resolutions).png(row)
    assert data is not None and data == Masks(size, resolutions).png(row)
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def test_masks():
    mask = mask_of()
    assert mask.shape == (360, 640) and set(np.unique(mask)) == {0, 255}
    assert (mask[:45] == 0).all() and (mask[45:313] == 255).all() and (mask[313:] == 0).all()
    assert Masks(None, None).png({"masked": None}) is None


def test_masks_have_the_size_of_files():
    """Scaled and cropped as the clip is."""
    small = mask_of({"short_side": 180}, (320, 180))
    assert (small[:23] == 0).all() and (small[23:156] == 255).all() and (small[156:] == 0).all()
    square = mask_of("bucket", (256, 256), [40.0, 0.0, 200.0, 360.0], [[256, 256]])
    # 640 × 360 is scaled to 455 × 256, of which 98 columns at the left are cropped
    assert (square[:, : round(200 * 455 / 640) - 98 + 1] == 0).all()
    assert (square[:, round(200 * 455 / 640) - 98 + 2 :] == 255).all()


@pytest.mark.parametrize("masked", [[-3.0, -2.0, 900.0, 10.0], [638.5, 350.2, 640.0, 360.0]])
def test_boxes_at_the_rim(masked):
    mask = mask_of(masked=masked)
    left, top, right, bottom = masked
    assert (mask == 0).sum() == (640 - max(0, int(left)) if right > 640 else 640 - int(left)) * (
        10 if top < 0 else 360 - int(top)
    )


def test_masks_beside_clips(tmp_path):
    """As musubi-tuner and diffusion-pipe look for them; clips without anything to hide have none."""
    hidden, plain = Clip("a", masked=[0, 0, 64, 8]), Clip("b")
    export = Export(tmp_path, [hidden, plain], {"masks": {"size": None, "resolutions": None}})
    dataset = export.run("musubi-tuner", "diffusion-pipe")
    found = sorted(path for path in export.files() if path.endswith(".png"))
    assert found == [
        f"diffusion-pipe/train/all/0000/masks/{hidden.id}.png",
        f"musubi-tuner/train/all@10/0000/{hidden.id}_wmask.png",
    ]
    for path in found:
        mask = cv2.imread(str(dataset / path), cv2.IMREAD_UNCHANGED)
        assert mask.shape == (48, 64) and (mask[:8] == 0).all() and (mask[8:] == 255).all()
    config = tomllib.loads((dataset / "diffusion-pipe" / "train.toml").read_text())
    assert [folder["mask_path"] for folder in config["directory"]] == ["diffusion-pipe/train/all/0000/masks"]
    export.settings.clear()
    export.run("musubi-tuner", "diffusion-pipe")
    assert not [path for path in export.files() if path.endswith(".png")]
    assert "mask_path" not in (dataset / "diffusion-pipe" / "train.toml").read_text()
