"""TransNetV2: which frames of a window are part of a transition.

Tomáš Souček and Jakub Lokoč, "TransNet V2: An effective deep network architecture for fast shot transition detection"
(2020), arxiv.org/abs/2008.04838. Written from the paper and the names and shapes of the published weights (MIT). Three
stacks of convolutions over space and, with growing distances, over time; beside them, how alike each frame is to its
neighbours: by what the stacks found, and by colour.

The published network's convolutions are of three dimensions, of which each looks at space or at time alone. Here they
are of two dimensions, which onnxruntime computes several times as fast: over the picture, with time in the batch; and
over time, with the picture's pixels in a row. The results are the same but for rounding.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from clipmill.shots.graph import Graph

WINDOW, STEP = 100, 50  # frames of a window, of which the network decides about the STEP in the middle
EDGE = (WINDOW - STEP) // 2  # frames on each side that it only looks at
HEIGHT, WIDTH = 27, 48  # of its pictures
COLOURS = 512  # bins of a colour histogram: eight levels each of red, green and blue

STACKS, BLOCKS, FILTERS = 3, 2, 16  # the first stack's filters, which double from stack to stack
DISTANCES = (1, 2, 4, 8)  # frames between those that a convolution over time looks at
EPSILON = 1e-3  # of batch normalization
REACH = 50  # frames before and after, to which a frame is compared

Weights = Mapping[str, np.ndarray]


def network(weights: Weights) -> Graph:
    """The network with its `weights`, by their published names.

    Inputs: `pictures`, batch × WINDOW × HEIGHT × WIDTH × 3 bytes (red, green, blue), and `colours`, their histograms,
    batch × WINDOW × COLOURS. Outputs, batch × WINDOW logits each: `single`, whether a frame is the one in the middle of
    a transition, and `many`, whether it is part of one.
    """
    graph = Graph(
        {
            "pictures": ("uint8", (None, WINDOW, HEIGHT, WIDTH, 3)),
            "colours": ("float32", (None, WINDOW, COLOURS)),
        },
        ("single", "many"),
    )
    x = graph.add("Cast", "pictures", to=1)
    x = _reshape(graph, x, -1, HEIGHT, WIDTH, 3)
    x = graph.add("Transpose", x, perm=(0, 3, 1, 2))
    height, width = HEIGHT, WIDTH
    means = []
    for stack in range(STACKS):
        x = _stack(graph, x, f"SDDCNN.{stack}.DDCNN", FILTERS << stack, (height, width), weights, first=stack == 0)
        height, width = height // 2, width // 2
        mean = graph.add("ReduceMean", x, np.array([2, 3]), keepdims=0)
        means.append(_reshape(graph, mean, -1, WINDOW, (FILTERS << stack) * len(DISTANCES)))
    found = graph.add("Concat", *means, axis=2)
    projected = _linear(graph, found, "frame_sim_layer.projection", weights)
    channels = (FILTERS << STACKS - 1) * len(DISTANCES)
    x = _reshape(graph, x, -1, WINDOW, channels * height * width)
    features = graph.add(
        "Concat",
        _likeness(graph, "colours", "color_hist_layer.fc", weights),
        _likeness(graph, graph.add("LpNormalization", projected, axis=2, p=2), "frame_sim_layer.fc", weights),
        x,
        axis=2,
    )
    product = graph.add("MatMul", features, _top(weights, channels))
    hidden = graph.add("Relu", graph.add("Add", product, weights["fc1.bias"]))
    single, many = (
        _reshape(graph, _linear(graph, hidden, f"cls_layer{number}", weights), -1, WINDOW) for number in (1, 2)
    )
    graph.finish(single=single, many=many)
    return graph


def _stack(graph: Graph, x: str, name: str, filters: int, size: tuple[int, int], weights: Weights, first: bool) -> str:
    """Two blocks, the first of them added to the second, and every 2 × 2 pixels made one.

    In and out: (batch · WINDOW) × channels × height × width.
    """
    height, width = size
    channels = filters * len(DISTANCES)
    found = []
    for block in range(BLOCKS):
        over_time = _block(graph, x, f"{name}.{block}", filters, height * width, weights, bytes_in=first and block == 0)
        found.append(graph.add("Relu", over_time))
        if block + 1 < BLOCKS:
            x = _by_frame(graph, found[-1], channels, size)
    x = _by_frame(graph, graph.add("Add", *found), channels, size)
    return graph.add("AveragePool", x, kernel_shape=(2, 2), strides=(2, 2))


def _block(graph: Graph, x: str, name: str, filters: int, pixels: int, weights: Weights, bytes_in: bool) -> str:
    """Convolutions over space, then over time at four distances, and batch normalization, which is in their weights.

    In: (batch · WINDOW) × channels × height × width; out: batch × channels × WINDOW × pixels.
    """
    layers = [f"{name}.Conv3D_{distance}.layers" for distance in DISTANCES]
    space = np.concatenate([weights[f"{layer}.0.weight"][:, :, 0] for layer in layers])
    if bytes_in:
        space = space / np.float32(255)  # the published network takes 0 to 1
    x = graph.add("Conv", x, space, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    x = _reshape(graph, x, -1, WINDOW, len(space), pixels)
    x = graph.add("Transpose", x, perm=(0, 2, 1, 3))
    parts = graph.split("Split", len(layers), x, axis=1, num_outputs=len(layers))
    scale = weights[f"{name}.bn.weight"] / np.sqrt(weights[f"{name}.bn.running_var"] + np.float32(EPSILON))
    shift = weights[f"{name}.bn.bias"] - weights[f"{name}.bn.running_mean"] * scale
    found = []
    for place, (layer, distance) in enumerate(zip(layers, DISTANCES, strict=True)):
        own = slice(place * filters, (place + 1) * filters)
        kernel = weights[f"{layer}.1.weight"][..., 0] * scale[own, None, None, None]
        found.append(
            graph.add(
                "Conv",
                parts[place],
                kernel,
                shift[own],
                kernel_shape=(3, 1),
                dilations=(distance, 1),
                pads=(distance, 0, distance, 0),
            )
        )
    return graph.add("Concat", *found, axis=1)


def _by_frame(graph: Graph, x: str, channels: int, size: tuple[int, int]) -> str:
    """From batch × channels × WINDOW × pixels to (batch · WINDOW) × channels × height × width."""
    return _reshape(graph, graph.add("Transpose", x, perm=(0, 2, 1, 3)), -1, channels, *size)


def _likeness(graph: Graph, vectors: str, name: str, weights: Weights) -> str:
    """What a layer makes of how alike each frame is to those up to REACH before and after it.

    `vectors`: batch × WINDOW × length, of length 1 each. The products of all pairs are a square, of which each frame
    needs the diagonal band: rows that are one longer than the padded square's turn the band into a rectangle.
    """
    square = graph.add("MatMul", vectors, graph.add("Transpose", vectors, perm=(0, 2, 1)))
    padded = graph.add("Pad", square, np.array([0, 0, REACH, 0, 0, REACH]))
    flat = _reshape(graph, padded, -1, WINDOW * (WINDOW + 2 * REACH))
    longer = graph.add("Pad", flat, np.array([0, 0, 0, WINDOW]))
    skewed = _reshape(graph, longer, -1, WINDOW, WINDOW + 2 * REACH + 1)
    band = graph.add("Slice", skewed, np.array([0]), np.array([2 * REACH + 1]), np.array([2]))
    return graph.add("Relu", _linear(graph, band, name, weights))


def _linear(graph: Graph, x: str, name: str, weights: Weights) -> str:
    product = graph.add("MatMul", x, np.ascontiguousarray(weights[f"{name}.weight"].T))
    return graph.add("Add", product, weights[f"{name}.bias"])


def _top(weights: Weights, channels: int) -> np.ndarray:
    """The weights of the layer over everything, for pixels channel by channel; the published are pixel by pixel."""
    matrix = weights["fc1.weight"].T
    pixels = matrix.shape[0] - 2 * weights["frame_sim_layer.fc.bias"].shape[0]
    alike, seen = matrix[:-pixels], matrix[-pixels:]
    seen = seen.reshape(pixels // channels, channels, -1).transpose(1, 0, 2).reshape(pixels, -1)
    return np.concatenate([alike, seen])


def _reshape(graph: Graph, x: str, *shape: int) -> str:
    return graph.add("Reshape", x, np.array(shape))


def histograms(pictures: np.ndarray) -> np.ndarray:
    """Colour histograms of `pictures` (n × HEIGHT × WIDTH × 3 bytes): n × COLOURS, each a vector of length 1."""
    levels = (pictures >> 5).astype(np.int64) @ np.array([64, 8, 1])
    place = levels.reshape(len(pictures), -1) + np.arange(len(pictures))[:, None] * COLOURS
    counts = np.bincount(place.ravel(), minlength=len(pictures) * COLOURS).reshape(-1, COLOURS).astype(np.float32)
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)
