"""The signals of a video's sound: a row per tenth of a second, measured in the one pass over the file.

Everything that a score of sound is made of is kept here, so that a clip may begin anywhere, and a threshold change,
without decoding again. Gaps in the sound have no rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
import pyarrow.parquet as pq

from clipmill.base.opencv import cv2
from clipmill.decode.media import sound_stream
from clipmill.decode.sound import Resampler, SoundClock, picture_lag
from clipmill.store import tables
from clipmill.store.table import Row

VERSION = 1  # raise it when the same sound gives other numbers: the table says by which it was measured
PER_SECOND = 10  # rows
STEPS = 10  # parts of a row whose loudness is kept
BAND, BANDS = 250, 96  # Hz, and number of bands of the spectrum
HALF_DECIBEL = 0.5  # a byte of loudness or spectrum counts these, below full scale
HANN = 1.5  # power of Hann's window with a mean of 1
FLOOR = 1e-13  # power below what a byte can say
CLIPPED, IN_A_ROW = 0.99, 3  # samples at least so great, at least so many in a row, are clipped
AT_ONCE, WRITTEN = 5, 200  # rows that are measured together, so few that caches hold them; and written
SPEECH_RATE, SPEECH_WINDOW = 16000, 512  # samples per second, and of one probability
SURROUND = {4: 1.41, 5: 1.41}  # weights of channels in loudness, of BS.1770; all others count once
LOW_FREQUENCY = 3  # number of the channel that does not count, where there are six or more

Speech = Callable[[np.ndarray, Any], tuple[np.ndarray, Any]]
"""How surely windows hold speech: n × SPEECH_WINDOW samples and a state, at first None → n numbers and a state."""


class SoundMeter:
    """Measures the sound of an open video while its packets come, and writes the table SOUND_SIGNALS.

    Use as a context manager. `about`: what the table says of how it was made. `speech`: finds speech, if it is wanted.
    A video without sound gets an empty table.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        source: Path,
        path: Path,
        about: dict[str, Any],
        speech: Speech | None = None,
    ):
        self._stream = sound_stream(container)
        self._schema = tables.SOUND_SIGNALS.schema_about(about)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        if self._stream is None:
            return
        start = (container.start_time or 0) / av.time_base
        self._clock = SoundClock(start + picture_lag(source))
        self._speech = _SpeechTrack(speech) if speech else None
        self._pictures = 0
        self._hop = 0  # of the first row that is open
        self._measure: _Measure | None = None
        self._held: list[Row] = []  # rows whose last window of speech may not have ended yet

    def __enter__(self) -> SoundMeter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self._stream is not None:
                self._write_all()
        finally:
            self._writer.close()

    def packet(self, packet: av.Packet, is_picture: bool) -> None:
        """Note the next packet of the file, of whatever stream."""
        if self._stream is None:
            return
        self._pictures += is_picture and packet.size > 0
        if packet.stream.index != self._stream.index:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # what is damaged is left out
            return
        for frame in frames:
            if isinstance(frame, av.AudioFrame) and (place := self._clock.place(frame)) is not None:
                self._add(place, self._clock.values(frame, place))

    def _add(self, place: int, values: np.ndarray) -> None:
        if self._measure is None:
            self._measure = _Measure(self._clock.rate, self._clock.channels)
        measure = self._measure
        if measure.hop_at(place) < self._hop:  # the clock leaps, and tenths of a second come again
            self._write_all()
        if self._speech and len(values):
            self._speech.add(place, values, self._clock)
        while len(values):
            hop = measure.hop_at(place)
            if not 0 <= hop - self._hop < AT_ONCE or not measure.filled.any():
                self._flush()
                self._hop = hop
            taken = measure.put(hop - self._hop, place - measure.begin(hop), values)
            measure.pictures[hop - self._hop] = self._pictures
            place, values = place + taken, values[taken:]

    def _flush(self) -> None:
        """Measure the open rows."""
        if self._measure:
            self._held += self._measure.rows(self._hop)
        if len(self._held) >= WRITTEN:
            self._write(len(self._held) - AT_ONCE)

    def _write(self, count: int) -> None:
        """Write the first of the measured rows."""
        rows, self._held = self._held[:count], self._held[count:]
        if self._speech:
            self._speech.fill(rows)
        if rows:
            made = tables.SOUND_SIGNALS.from_rows(rows)
            self._writer.write_table(made.replace_schema_metadata(self._schema.metadata))

    def _write_all(self) -> None:
        """Write all rows that have begun."""
        if self._speech:
            self._speech.end()
        self._flush()
        self._write(len(self._held))


class _Measure:
    """The samples of AT_ONCE rows, and what is measured of them."""

    def __init__(self, rate: int, channels: int):
        self._rate = rate
        self._size = max(STEPS, round(rate / PER_SECOND))  # samples of a row
        self._samples = np.zeros((AT_ONCE, channels, self._size), np.float32)
        self.filled = np.zeros(AT_ONCE, int)  # samples of each row that are there
        self.pictures = np.zeros(AT_ONCE, int)
        frequency = np.arange(1, (self._size + 1) // 2) * rate / self._size
        # A bin stands for itself and for its negative frequency, and is two numbers, its real and its imaginary part.
        self._gain = np.repeat(2 * k_weighting(frequency) / self._size**2, 2).astype(np.float32)
        self._weights = np.array([_weight(number, channels) for number in range(channels)], np.float32)
        # Channels are added in different phases, so that even opposite ones do not cancel each other.
        angles = np.pi * np.arange(channels) / channels
        self._phases = (np.stack([np.cos(angles), np.sin(angles)]) / np.sqrt(channels)).astype(np.float32)
        edges = np.searchsorted(frequency, np.arange(BANDS) * BAND)
        self._bands = edges[edges < len(frequency)]
        self._steps = np.round(np.linspace(0, self._size, STEPS + 1)).astype(int)[:-1]

    def begin(self, hop: int) -> int:
        """The number of the first sample of a row."""
        return round(hop * self._rate / PER_SECOND)

    def hop_at(self, place: int) -> int:
        """The row to which a sample belongs."""
        hop = math.floor(place * PER_SECOND / self._rate)
        return hop + 1 if self.begin(hop + 1) <= place else hop

    def put(self, row: int, offset: int, values: np.ndarray) -> int:
        """Put samples into an open row, from `offset` on. Returns how many the row has taken."""
        taken = min(len(values), max(1, self._size - offset))  # rows may be a sample longer than others
        self._samples[row, :, offset : offset + taken] = values[: max(0, min(taken, self._size - offset))].T
        self.filled[row] = min(self._size, self.filled[row] + taken)
        return taken

    def rows(self, first: int) -> list[Row]:
        """SOUND_SIGNALS rows of the samples; then there are none. `first`: the number of the first row."""
        there = np.flatnonzero(self.filled)
        if not len(there):
            return []
        samples = self._samples[there]
        spectrum = _spectrum(samples)
        loudness = np.square(spectrum) @ self._gain @ self._weights
        real, imaginary = (np.ascontiguousarray(phase @ spectrum).view(np.complex64) for phase in self._phases)
        bands = _decibels(self._band_powers(real + np.complex64(1j) * imaginary))
        squares = np.einsum("rcn,rcn->rn", samples, samples) / samples.shape[1]
        levels = np.add.reduceat(squares, self._steps, axis=1) / np.diff([*self._steps, self._size])
        peak = np.maximum(samples.max(axis=(1, 2)), -samples.min(axis=(1, 2)))
        clipped = np.zeros(len(there))
        for row in np.flatnonzero(peak >= CLIPPED):
            clipped[row] = _clipped_share(np.abs(samples[row]))
        left, right = samples[:, 0], samples[:, min(1, samples.shape[1] - 1)]
        own, both = (_mean_product(left, left) + _mean_product(right, right)) / 4, _mean_product(left, right) / 2
        made = {
            "hop": first + there,
            "picture": self.pictures[there],
            "filled": self.filled[there] / self._size,
            "loudness_power": loudness,
            "peak": peak,
            "clipped": clipped,
            "mid": np.maximum(0, own + both),
            "side": np.maximum(0, own - both),
        }
        columns = {name: values.tolist() for name, values in made.items()}
        columns["levels"] = [bytes(row) for row in _decibels(levels)]
        columns["spectrum"] = [bytes(row) for row in bands]
        self._samples[:], self.filled[:] = 0, 0
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def _band_powers(self, spectrum: np.ndarray) -> np.ndarray:
        """Power in each band: rows × BANDS. Bands above half of the rate have none."""
        # Hann's window, without which strong tones would leak into all bands: here a convolution with -1/2, 1, -1/2.
        windowed = spectrum[:, 1:-1] - (spectrum[:, :-2] + spectrum[:, 2:]) / 2
        power = np.zeros(spectrum.shape, np.float32)
        power[:, 1:-1] = _squares(windowed) * (2 / HANN / self._size**2)
        found = np.zeros((len(power), BANDS), np.float32)
        found[:, : len(self._bands)] = np.add.reduceat(power, self._bands, axis=1)
        return found


def _spectrum(samples: np.ndarray) -> np.ndarray:
    """The spectrum of rows × channels × samples, real and imaginary parts in turn.

    Without its first bin and, of an even number of samples, its last one.
    """
    size = samples.shape[-1]
    packed = cv2.dft(samples.reshape(-1, size), flags=cv2.DFT_ROWS)  # several times faster than numpy's
    bins: np.ndarray = packed.reshape(samples.shape)[..., 1 : 1 + 2 * ((size - 1) // 2)]
    return bins


def _mean_product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each row the mean product of two sounds."""
    return np.einsum("rn,rn->r", one, other) / one.shape[1]


def _squares(numbers: np.ndarray) -> np.ndarray:
    """Squared magnitudes of complex numbers."""
    squares: np.ndarray = numbers.real**2
    squares += numbers.imag**2
    return squares


def _weight(channel: int, channels: int) -> float:
    """How much a channel counts in loudness, by FFmpeg's usual order: left, right, centre, low, then around."""
    if channels >= 6:
        return 0.0 if channel == LOW_FREQUENCY else SURROUND.get(channel, 1.0)
    return 1.0


def _decibels(power: np.ndarray) -> np.ndarray:
    """Powers as bytes: HALF_DECIBEL steps below full scale, 255 and less than that alike."""
    steps = -10 * np.log10(np.maximum(power, FLOOR)) / HALF_DECIBEL
    return np.clip(np.round(steps), 0, 255).astype(np.uint8)


def _clipped_share(values: np.ndarray) -> float:
    """Share of the samples that are clipped in any channel. `values`: magnitudes, channels × n."""
    high = values >= CLIPPED
    count = high.shape[1] - IN_A_ROW + 1
    runs = np.logical_and.reduce([high[:, later : count + later] for later in range(IN_A_ROW)]).any(axis=0)
    clipped = np.zeros(high.shape[1], bool)
    for later in range(IN_A_ROW):
        clipped[later : count + later] |= runs
    return float(clipped.mean())


def k_weighting(frequency: np.ndarray) -> np.ndarray:
    """The gain of power by which BS.1770 weighs frequencies: a shelf for the head, and less of what is low.

    Source: ITU-R BS.1770-5, annex 1, whose filters for 48000 samples per second these are.
    """
    turn = np.exp(-2j * np.pi * np.minimum(frequency, 23999.0) / 48000)
    shelf = (1.53512485958697 - 2.69169618940638 * turn + 1.19839281085285 * turn**2) / (
        1 - 1.69065929318241 * turn + 0.73248077421585 * turn**2
    )
    low = (1 - 2 * turn + turn**2) / (1 - 1.99004745483398 * turn + 0.99007225036621 * turn**2)
    return np.abs(shelf * low) ** 2


class _SpeechTrack:
    """How surely each window of the sound holds speech: SPEECH_WINDOW samples, at whole multiples of their length."""

    def __init__(self, speech: Speech):
        self._speech = speech
        self._state: Any = None
        self._resampler: Resampler | None = None
        self._waiting: list[np.ndarray] = []  # mono, to be resampled together: parts of a frame would cost more
        self._next = 0  # the sample of the track with which a frame must begin to go on
        self._window, self._rest = 0, np.empty(0, np.float32)  # number of the window that is open, and its samples
        self._found: dict[int, list[int]] = {}  # by row, the probabilities of its windows, of 255

    def add(self, place: int, values: np.ndarray, clock: SoundClock) -> None:
        """Take samples of the track, from `place` on."""
        if self._resampler is None or place != self._next:
            self.end()
            self._resampler = Resampler("mono", clock.rate, "mono", SPEECH_RATE)
            begin = round(place * SPEECH_RATE / clock.rate)
            self._window = begin // SPEECH_WINDOW
            self._rest = np.zeros(begin - self._window * SPEECH_WINDOW, np.float32)
            self._state = None
        self._next = place + len(values)
        self._waiting.append(np.add.reduce(values, axis=1) / np.float32(values.shape[1]))

    def fill(self, rows: list[Row]) -> None:
        """Add the column `speech` to rows."""
        self._look(self._resampled())
        for row in rows:
            row["speech"] = bytes(self._found.pop(row["hop"], []))

    def end(self) -> None:
        """A gap comes, or the end: the last window is filled with silence."""
        if self._resampler is not None:
            samples = np.concatenate([self._resampled(), self._resampler.end()[:, 0]])
            self._look(np.append(samples, np.zeros(-(len(self._rest) + len(samples)) % SPEECH_WINDOW, np.float32)))
            self._resampler = None

    def _resampled(self) -> np.ndarray:
        """The next samples at SPEECH_RATE."""
        if not self._waiting or self._resampler is None:
            return np.empty(0, np.float32)
        samples, self._waiting = np.concatenate(self._waiting), []
        return self._resampler.put(samples[:, None])[:, 0]

    def _look(self, samples: np.ndarray) -> None:
        """Look at the windows that are whole with these next samples."""
        samples = np.concatenate([self._rest, samples])
        count = len(samples) // SPEECH_WINDOW
        windows, self._rest = np.split(samples, [count * SPEECH_WINDOW])
        if not count:
            return
        sure, self._state = self._speech(windows.reshape(count, SPEECH_WINDOW), self._state)
        for number, value in enumerate(sure.tolist(), self._window):
            hop = number * SPEECH_WINDOW * PER_SECOND // SPEECH_RATE
            self._found.setdefault(hop, []).append(round(255 * value))
        self._window += count
