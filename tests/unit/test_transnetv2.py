"""The network against a second one in torch, written from the paper, with the convolutions of the published one.

The original's code is not compared here, since importing it seeds and sets deterministic mode for the whole process;
docs/benchmarks.md says how far its logits are from these.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from clipmill.models import published
from clipmill.shots import weights
from clipmill.shots.network import HEIGHT, WIDTH, WINDOW, histograms, network
from clipmill.shots.transnetv2 import TransNetV2, on_the_cpu
from clipmill.shots.weights import INSTALLED, read_weights

pytestmark = pytest.mark.torch

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

CLOSE = 1e-3  # the goal; rounding alone differs by some millionths


class Names(dict):
    """Random weights by name, so small that the numbers neither grow nor vanish from layer to layer."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)

    def made(self, name: str, *shape: int) -> None:
        inputs = np.prod(shape[1:]) if len(shape) > 1 else 100
        self[name] = self.rng.normal(0, 1.4 / np.sqrt(inputs), shape).astype(np.float32)


@pytest.fixture(scope="module", autouse=True)
def one_core():
    """The tests of other modules run beside these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made() -> dict[str, np.ndarray]:
    """Random weights with the names and shapes of the published ones."""
    found = Names()
    channels = 3
    for stack in range(3):
        filters = 16 * 2**stack
        for block in range(2):
            name = f"SDDCNN.{stack}.DDCNN.{block}"
            for distance in (1, 2, 4, 8):
                found.made(f"{name}.Conv3D_{distance}.layers.0.weight", 2 * filters, channels, 1, 3, 3)
                found.made(f"{name}.Conv3D_{distance}.layers.1.weight", filters, 2 * filters, 3, 1, 1)
            channels = 4 * filters
            for part in ("weight", "bias", "running_mean"):
                found.made(f"{name}.bn.{part}", channels)
            found[f"{name}.bn.weight"] += 1
            found[f"{name}.bn.running_var"] = found.rng.uniform(0.5, 2, channels).astype(np.float32)
    for name, outputs, inputs in (
        ("frame_sim_layer.projection", 128, 448),
        ("frame_sim_layer.fc", 128, 101),
        ("color_hist_layer.fc", 128, 101),
        ("fc1", 1024, 4864),
        ("cls_layer1", 1, 1024),
        ("cls_layer2", 1, 1024),
    ):
        found.made(f"{name}.weight", outputs, inputs)
        found.made(f"{name}.bias", outputs)
    return dict(found)


def second(pictures: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Logits of windows (batch × WINDOW × HEIGHT × WIDTH × 3 bytes): 2 × batch × WINDOW."""
    w = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    x = torch.from_numpy(pictures).permute(0, 4, 1, 2, 3) / 255
    means = []
    for stack in range(3):
        first = torch.relu(block(x, w, f"SDDCNN.{stack}.DDCNN.0"))
        x = torch.relu(block(first, w, f"SDDCNN.{stack}.DDCNN.1")) + first
        x = functional.avg_pool3d(x, (1, 2, 2))
        means.append(x.mean((3, 4)))
    projected = linear(torch.cat(means, 1).transpose(1, 2), w, "frame_sim_layer.projection")
    counts = torch.zeros(*pictures.shape[:2], 512)
    for window in range(pictures.shape[0]):
        for frame in range(pictures.shape[1]):
            for red, green, blue in (pictures[window, frame].reshape(-1, 3) // 32).tolist():
                counts[window, frame, red * 64 + green * 8 + blue] += 1
    features = torch.cat(
        [
            likeness(counts, w, "color_hist_layer.fc"),
            likeness(projected, w, "frame_sim_layer.fc"),
            x.permute(0, 2, 3, 4, 1).flatten(2),
        ],
        2,
    )
    hidden = torch.relu(linear(features, w, "fc1"))
    return torch.stack([linear(hidden, w, name)[..., 0] for name in ("cls_layer1", "cls_layer2")]).numpy()


def block(x, w: dict, name: str):
    parts = []
    for distance in (1, 2, 4, 8):
        layers = f"{name}.Conv3D_{distance}.layers"
        over_space = functional.conv3d(x, w[f"{layers}.0.weight"], padding=(0, 1, 1))
        over_time = w[f"{layers}.1.weight"]
        parts.append(functional.conv3d(over_space, over_time, padding=(distance, 0, 0), dilation=(distance, 1, 1)))
    statistics = (w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return functional.batch_norm(torch.cat(parts, 1), *statistics, eps=1e-3)


def linear(x, w: dict, name: str):
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def likeness(vectors, w: dict, name: str):
    unit = functional.normalize(vectors, dim=2)
    pairs = unit @ unit.transpose(1, 2)
    band = torch.zeros(*vectors.shape[:2], 101)
    for frame in range(100):
        for other in range(max(0, frame - 50), min(100, frame + 51)):
            band[:, frame, other - frame + 50] = pairs[:, frame, other]
    return torch.relu(linear(band, w, name))


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Two windows of blurred noise: one with a cut and a dissolve, one that flickers."""
    rng = np.random.default_rng(3)

    def shot(frames: int) -> np.ndarray:
        coarse = rng.uniform(0, 255, (9, 12, 3)).repeat(3, 0).repeat(4, 1)
        return coarse + rng.normal(0, 4, (frames, HEIGHT, WIDTH, 3))

    share = np.linspace(0, 1, 60)[:, None, None, None]
    one = np.concatenate([shot(40), (1 - share) * shot(60) + share * shot(60)])
    other = shot(100) * rng.uniform(0.3, 1, (100, 1, 1, 1))
    return np.clip([one, other], 0, 255).astype(np.uint8)


def logits(run, windows: np.ndarray) -> np.ndarray:
    colours = np.stack([histograms(window) for window in windows])
    return np.stack(run({"pictures": windows, "colours": colours}))


def test_both_runners_give_the_logits_of_the_published_network(made, windows):
    from clipmill.shots.on_torch import TorchRunner

    graph, wanted = network(made), second(windows, made)
    assert wanted.shape == (2, 2, WINDOW) and wanted.std(axis=2).min() > 0.01, "the frames differ"
    for run in (on_the_cpu(graph), TorchRunner(graph)):
        together = logits(run, windows)
        assert np.abs(together - wanted).max() < CLOSE
        assert np.abs(logits(run, windows[1:]) - together[:, 1:]).max() < 1e-4, "the size of a batch changes nothing"


def test_the_number_of_threads_changes_no_bit(made, windows, tmp_path, monkeypatch):
    """Weights as torch writes them, read by hash."""
    path = tmp_path / "w.pth"
    torch.save({name: torch.from_numpy(array) for name, array in made.items()}, path)
    read = read_weights(path)
    assert read.keys() == made.keys() and all(np.array_equal(read[name], made[name]) for name in made)
    entry = published.Published("MIT", "made here", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(weights.PUBLISHED, published.TRANSNETV2, entry)
    found = []
    for threads in (1, 3):
        detector = TransNetV2(weights=str(path))
        detector.threads = threads
        found.append(detector.look(list(windows)))
    assert all(np.array_equal(one, other) for one, other in zip(*found, strict=True))
    assert not np.array_equal(found[0][0], found[0][1])
    assert all(values.min() > 0 and values.max() < 1 and values.shape == (2, 50) for values in found[0])


@pytest.mark.skipif(not INSTALLED.is_file(), reason="needs the weights (make transnetv2)")
def test_the_published_weights_find_a_cut(windows):
    cut = np.concatenate([windows[0][:20], windows[1][20:21].repeat(25, 0), windows[0][:1].repeat(55, 0)])
    read = read_weights(INSTALLED)
    graph = network(read)
    assert np.abs(logits(on_the_cpu(graph), cut[None]) - second(cut[None], read)).max() < CLOSE
    single, many = TransNetV2().look([cut])[0]
    assert single.argmax() == 44 - 25 and single.max() > 0.4 and many.argmax() == 44 - 25
