"""The pages' colours, computed: text and lines stand out from what is behind them, and the steps of a scale
differ also for the colour-blind. (What a browser makes of them is in test_browser.py.)"""

import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

CSS = (Path(__file__).resolve().parents[3] / "reports" / "pages" / "static" / "pages.css").read_text()
SCHEMES = ("light", "dark")
# simulated colour vision, in linear RGB (Machado, Oliveira and Fernandes, 2009, severity 1)
VISIONS = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
    "everybody": np.eye(3).tolist(),
}


def colours(scheme):
    """The style sheet's names for colours, as red, green and blue from 0 to 1."""
    light, dark = (
        dict(re.findall(r"--(\w[\w-]*): (#[0-9a-f]+)", block))
        for block in CSS.split("* {")[0].split("@media")
    )
    found = light if scheme == "light" else light | dark
    return {name: rgb(value) for name, value in found.items()}


def rgb(value):
    digits = value[1:] if len(value) == 7 else "".join(2 * each for each in value[1:])
    return np.array([int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)])


def linear(colour):
    return np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2, from 1 to 21."""
    low, high = sorted(float(linear(each) @ [0.2126, 0.7152, 0.0722]) for each in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(light):
    """CIELAB of linear sRGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        light, 0, 1
    )
    x, y, z = (
        each ** (1 / 3) if each > 0.008856 else 7.787 * each + 16 / 116 for each in xyz / [0.9505, 1.0, 1.089]
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_text_stands_out(scheme):
    known = colours(scheme)
    pairs = [
        (ink, paper) for ink in ("ink", "pale", "link", "bad") for paper in ("paper", "ground", "sea", "land")
    ]
    pairs += [(f"i{step}", f"s{step}") for step in range(1, 6)]
    pairs += [("on-accent", "accent"), ("ink", "track"), ("pale", "night")]
    found = {pair: contrast(known[pair[0]], known[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_lines_stand_out(scheme):
    known = colours(scheme)
    lines = [f"l{step}" for step in range(1, 6)] + ["tests", "forecast", "ours", "bad"]
    found = {
        (line, ground): contrast(known[line], known[ground])
        for line in lines
        for ground in ("paper", "sea", "land")
    }
    assert {pair: ratio for pair, ratio in found.items() if ratio < 3} == {}


@pytest.mark.parametrize("vision", VISIONS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("scale", ["l", "s"])
def test_the_steps_of_a_scale_differ_for_everybody(scheme, scale, vision):
    known = colours(scheme)
    seen = [lab(np.array(VISIONS[vision]) @ linear(known[f"{scale}{step}"])) for step in range(1, 6)]
    apart = {
        (one + 1, other + 1): float(np.linalg.norm(seen[one] - seen[other]))
        for one, other in combinations(range(5), 2)
    }
    # what differs by 10 is told apart at a glance
    assert {pair: distance for pair, distance in apart.items() if distance < 10} == {}
    lightness = [each[0] for each in seen]
    assert lightness == sorted(lightness, reverse=scheme == "light"), "in grey, the order is lost"
