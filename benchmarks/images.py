"""How long a pull takes, next to what offers count with: `python -m benchmarks.images`.

A registry of Debian's on loopback, images of several sizes and numbers of layers, random and compressible,
each pulled by podman for real, twice: half of its layers as an image of their own, and then all of them. What
is compared is what broker/offers/images.py adds to the time on the network, which is next to nothing here.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from broker.images import Image, Wanted
from broker.images.looking import Images
from broker.offers.images import Pull, pull_of
from broker.platforms.podman_cli import command
from federation.clock import SystemClock
from federation.sites import Federation, Place, Site
from federation.units import format_seconds, format_size
from netprobe.forecast import Forecast, Rung
from netprobe.quantiles import Quantiles
from tests.broker.images.real import (
    Blob,
    RealRegistry,
    access_to,
    make_image,
    make_layer,
    real_registry,
    registries_file,
)


def loopback(source: str, destination: str) -> Forecast:
    rate, one = Quantiles(5e9, 10e9, 20e9), Quantiles(1.0, 1.0, 1.0)
    rung = Rung.SAME_SITE
    return Forecast(source, destination, rate, 1e-4, 65483.0, rung, 0, None, (), 0, one, "loopback")


# megabytes of a layer's content, layers, and how much of the content is random
SHAPES = ((1, 1, 1.0), (20, 1, 1.0), (20, 5, 1.0), (100, 2, 1.0), (100, 2, 0.2), (5, 20, 0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--times", type=int, default=2, help="pulls of each shape (2)")
    times = parser.parse_args().times
    ratios, inside = [], 0
    with tempfile.TemporaryDirectory() as place, real_registry(Path(place) / "registry") as registry:
        for megabytes, layers, random in SHAPES:
            for _ in range(times):
                for pull, seconds in _pulled(Path(place), registry, megabytes, layers, random):
                    ratios.append(seconds / pull.seconds.p50)
                    inside += pull.seconds.p10 <= seconds <= pull.seconds.p90
                    said = f"{format_size(pull.move.size_bytes)} in {pull.move.files - 1} layers"
                    quantiles = (pull.seconds.p10, pull.seconds.p50, pull.seconds.p90)
                    expected = " / ".join(format_seconds(each) for each in quantiles)
                    print(f"{said:>24}: {format_seconds(seconds):>8}, forecast {expected}")
    ratios.sort()
    middle = ratios[len(ratios) // 2]
    least, most = ratios[0], ratios[-1]
    print(f"{len(ratios)} pulls: actual by forecast {middle:.2f} (median), {least:.2f} to {most:.2f};")
    print(f"{inside / len(ratios):.0%} of them within 10 to 90 %, where 80 % are meant to be")


def _pulled(
    place: Path, registry: RealRegistry, megabytes: int, count: int, random: float
) -> list[tuple[Pull, float]]:
    """Two pulls, forecast and actual: of half the layers, as an image of their own, and of all of them."""
    layers = [_layer(megabytes, random) for _ in range(count)]
    name, found = f"{registry.host}/bench/{uuid.uuid4().hex[:8]}", []
    there: set[str] = set()
    for tag, some in (("half", layers[: max(count // 2, 1)]), ("whole", [*layers, _layer(1, 1.0)])):
        registry.push(name.partition("/")[2], tag, make_image(*some))
        image = _look(place, registry, f"{name}:{tag}")
        site = Site("here", "Here", Place(0, 0), registries=(registry.host,))
        pull = pull_of(image, there, Federation("bench", {"here": site}), site, loopback)
        begun = time.monotonic()
        _podman(place, registry, "pull", "--quiet", f"{name}:{tag}")
        found.append((pull, time.monotonic() - begun))
        there |= {layer.diff_id for layer in image.layers if layer.diff_id}
    _podman(place, registry, "image", "rm", "--force", f"{name}:whole", f"{name}:half")
    return found


def _layer(megabytes: int, random: float) -> Blob:
    """Files of a megabyte, of which that part is random, and the rest compresses to nothing."""
    size = 1_000_000
    return make_layer(
        {
            f"data/{number}-{uuid.uuid4().hex}": os.urandom(int(size * random))
            + bytes(int(size * (1 - random)))
            for number in range(megabytes)
        }
    )


def _look(place: Path, registry: RealRegistry, location: str) -> Image:
    question = Wanted((location,)), access_to(place, registry.host)
    image = Images(SystemClock()).look([question])[question].image
    assert image is not None
    return image


def _podman(place: Path, registry: RealRegistry, *arguments: str) -> None:
    file = registries_file(place, registry.host)
    environment = os.environ | {"CONTAINERS_REGISTRIES_CONF": str(file)}
    subprocess.run(command(*arguments), check=True, capture_output=True, env=environment)


if __name__ == "__main__":
    main()
