import numpy as np
import pytest
import torch

from components.evidence.spectrum import BINS, bands, beyond, radial_power, ring_centres, transform


def wave(cycles: float, rows: int = 64, columns: int = 96) -> torch.Tensor:
    """A wave along the columns, `cycles` a pixel."""
    line = 0.5 + 0.25 * np.cos(2 * np.pi * cycles * np.arange(columns))
    return torch.from_numpy(np.broadcast_to(line, (rows, columns)).copy())[None, None]


@pytest.mark.parametrize(("cycles", "band"), [(0.04, "low"), (0.09, "middle"), (0.2, "beyond"), (0.45, "beyond")])
def test_a_missing_wave_is_an_error_of_one_in_its_own_band(cycles: float, band: str) -> None:
    reference, flat = transform(wave(cycles)), transform(torch.full((1, 1, 64, 96), 0.5))
    result = bands(flat, reference, 96, 64, scale=4)[0]
    assert result.error[band] == pytest.approx(1.0, abs=0.02) and result.energy[band] == pytest.approx(0.0, abs=0.02)


def test_a_perfect_image_has_no_error_and_all_the_energy() -> None:
    plane = transform(wave(0.2))
    result = bands(plane, plane, 96, 64, scale=4)[0]
    assert set(result.error.values()) == {0.0} and result.energy["beyond"] == pytest.approx(1.0)


def test_detail_in_the_wrong_place_is_worse_than_none() -> None:
    shifted = 1 - wave(0.2)
    result = bands(transform(shifted), transform(wave(0.2)), 96, 64, scale=4)[0]
    assert result.error["beyond"] == pytest.approx(4.0, abs=0.1) and result.energy["beyond"] == pytest.approx(
        1.0, abs=0.02
    )


@pytest.mark.parametrize(("periods", "kept"), [(11.5, 0.0), (12.0, 0.0), (12.5, 1.0), (40.0, 1.0)])
def test_what_lies_beyond_the_input_is_kept_whole_and_nothing_else_is(periods: float, kept: float) -> None:
    """On 96 pixels the input's Nyquist frequency at scale 4 is 12 periods."""
    line = np.cos(2 * np.pi * periods * (np.arange(96) + 0.5) / 96)
    image = torch.from_numpy(0.3 + np.broadcast_to(line, (64, 96)).copy())[None, None]
    torch.testing.assert_close(beyond(image, 4), kept * (image - 0.3), atol=1e-9, rtol=0)


def test_an_odd_border_is_neither_tapered_nor_wrapped_around() -> None:
    image = torch.zeros(1, 1, 61, 87, dtype=torch.float64)
    image[..., 0, 0] = 1
    energy = beyond(image, 4).square()[0, 0]
    assert energy[0, 0] > 0.5 and energy[:8, :8].sum() > 0.9 * energy.sum() and energy[-8:].sum() < 0.01


def test_the_half_plane_stands_for_the_whole() -> None:
    rows, columns = 33, 46
    image, other = torch.rand(2, 1, 1, rows, columns, dtype=torch.float64)
    window = np.outer(np.hanning(rows), np.hanning(columns))
    a, b = (plane.numpy()[0, 0] for plane in (image, other))
    whole = [np.fft.fft2((one - (one * window).sum() / window.sum()) * window) for one in (a, b)]
    frequency = np.maximum.outer(np.abs(np.fft.fftfreq(rows)), np.abs(np.fft.fftfreq(columns)))
    for name, inside in (("low", (frequency > 0) & (frequency <= 1 / 16)), ("beyond", frequency > 1 / 8)):
        expected = (np.abs(whole[0] - whole[1]) ** 2)[inside].sum() / (np.abs(whole[1]) ** 2)[inside].sum()
        result = bands(transform(image), transform(other), columns, rows, scale=4)[0]
        assert result.error[name] == pytest.approx(expected)


def test_a_wave_stands_in_the_ring_of_its_frequency() -> None:
    power = radial_power(transform(wave(0.2, 128, 128) - 0.5), 128, 128)[0]
    assert ring_centres()[int(power.nan_to_num().argmax())] == pytest.approx(0.2, abs=0.5 / BINS)
