"""The image of a request, site by site: can it be had there, what bringing it takes, what is said of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from broker.images import Image, ImageError, Looked, Trouble
from broker.images.looking import Images, Question
from broker.model import Executable, ExecutableKind, Level, Note
from broker.offers import policy
from broker.platforms import Platform, PullsImages
from federation.sites import Federation, Site
from federation.units import format_bits_per_second, format_seconds, format_size
from netprobe.cost import Item, Move, plan_staging, seconds_for
from netprobe.forecast import Forecast, ForecastPath, Rung
from netprobe.quantiles import Quantiles

# what podman takes besides the transfer, measured by benchmarks/images.py: asking and writing down, a layer's
# own share, and unpacking what came, which lies in the store for good when the pull ends
PULL_SECONDS = Quantiles(0.1, 0.2, 1.0)
LAYER_SECONDS = Quantiles(0.05, 0.12, 0.3)
UNPACKED_BYTES_PER_SECOND = Quantiles(20e6, 50e6, 80e6)


@dataclass(frozen=True)
class Pull:
    """What a site would pull: `move` is of those of its bytes that aren't there already, `seconds` until the
    image is in place."""

    image: Image
    there_bytes: int
    move: Move
    seconds: Quantiles

    @property
    def crosses(self) -> bool:
        """Whether it crosses the network between sites."""
        return self.move.source != self.move.destination


def look_for_images(
    federation: Federation,
    platforms: Mapping[str, Platform],
    executable: Executable,
    images: Images | None,
) -> Mapping[str, Looked]:
    """What registries say of the image of `executable`, by site; all are asked at the same time, and
    each question once. Sites whose policy or platform doesn't have it asked are left out. Blocks."""
    if images is None:
        return {}
    questions: dict[str, Question] = {}
    for site in federation:
        platform = platforms.get(site.id)
        if isinstance(platform, PullsImages) and not policy.executable_refused(site, executable):
            wanted = platform.wanted_image(executable)
            if wanted is not None:
                questions[site.id] = wanted
    answers = images.look(questions.values())
    return {site: answers[question] for site, question in questions.items()}


def judged(site: Site, platform: PullsImages, looked: Looked, executable: Executable) -> list[Note]:
    """What is to be said of the image at that site; with an ERROR it can't run there."""
    if looked.image is not None:
        notes = [
            _passed_over(site, looked.image, location, error, executable)
            for location, error in looked.troubles.items()
        ]
        return [*notes, *_runnable(site, looked.image, executable), *platform.check_image(looked.image)]
    if looked.is_refused:
        return [
            _refused(site, error, _path(executable, number))
            for number, error in enumerate(looked.troubles.values())
        ]
    reasons = "; ".join(dict.fromkeys(str(error) for error in looked.troubles.values()))
    text = "{site}: it is not known whether the image can be had: {reason}; how long that takes is assumed"
    values = {"site": site.id, "reason": reasons}
    return [Note("image-unknown", text, values, Level.WARN, _path(executable, 0))]


def pull_of(
    image: Image,
    there: Collection[str],
    federation: Federation,
    site: Site,
    forecast: ForecastPath,
    outside_bits_per_second: float | None = None,
) -> Pull:
    """What bringing `image` takes, of which the layers `there` (by what they unpack to) are in place."""
    layers = image.distinct_layers
    missing = [layer for layer in layers if layer.diff_id is None or layer.diff_id not in there]
    size_bytes = image.config_bytes + sum(layer.size_bytes for layer in missing)
    registry = federation.site_of_registry(image.registry)
    replica = (f"https://{image.registry}/", registry.id if registry else None)
    item = Item("executable", size_bytes, [replica], len(missing) + 1)
    [move] = plan_staging([item], site.id, forecast).moves
    if move.source is None and outside_bits_per_second is not None:
        known = _by_operator(move.forecast, outside_bits_per_second)
        move = replace(move, forecast=known, seconds=seconds_for(known, size_bytes, item.files))
    seconds = move.seconds + engine_seconds(len(missing), size_bytes)
    return Pull(image, image.size_bytes - size_bytes, move, seconds)


def _by_operator(forecast: Forecast, rate: float) -> Forecast:
    """The path from outside, of which the site's operator knows what it usually carries."""
    return replace(
        forecast,
        bits_per_second=Quantiles(rate / 2, rate, rate * 1.5),
        correction=Quantiles(0.8, 1.0, 1.5),
        explanation=f"{format_bits_per_second(rate)} by the site's operator",
    )


def engine_seconds(layers: int, size_bytes: int) -> Quantiles:
    """What an engine takes to begin, and to unpack so many layers of together so many bytes."""
    rate = UNPACKED_BYTES_PER_SECOND
    return Quantiles(
        PULL_SECONDS.p10 + layers * LAYER_SECONDS.p10 + size_bytes / rate.p90,
        PULL_SECONDS.p50 + layers * LAYER_SECONDS.p50 + size_bytes / rate.p50,
        PULL_SECONDS.p90 + layers * LAYER_SECONDS.p90 + size_bytes / rate.p10,
    )


def pull_note(pull: Pull) -> Note:
    """How large the image is, how much of it is there, where the rest comes from, and what that takes."""
    move, seconds = pull.move, pull.seconds
    values = {
        "image": pull.image.location,
        "size": format_size(pull.image.size_bytes),
        "there": format_size(pull.there_bytes),
        "registry": pull.image.registry,
        "source": move.source or "outside the federation",
        "destination": move.destination,
        "p10": format_seconds(seconds.p10),
        "p50": format_seconds(seconds.p50),
        "p90": format_seconds(seconds.p90),
        "explanation": move.forecast.explanation,
    }
    there = "none" if pull.there_bytes == 0 else "{there}"
    text = "image {image}, {size}, " + there + " of it at {destination} already: {p50} ({p10} to {p90})"
    text += " from {registry}"
    if move.forecast.rung is not Rung.SAME_SITE:
        text += " ({source}); {explanation}"
    return Note("image", text, values, Level.INFO)


def _refused(site: Site, error: ImageError, path: str | None) -> Note:
    values = {"site": site.id, "reason": str(error), "remedy": error.remedy}
    text = "{site}: {reason}: {remedy}" if error.remedy else "{site}: {reason}"
    return Note(_KINDS[error.trouble], text, values, Level.ERROR, path)


def _passed_over(site: Site, image: Image, location: str, error: ImageError, executable: Executable) -> Note:
    text = "{site}: the image would come from {image}, for {reason}"
    values = {"site": site.id, "image": image.location, "reason": str(error)}
    return Note("image-location", text, values, Level.INFO, _path(executable, 0))


def _runnable(site: Site, image: Image, executable: Executable) -> list[Note]:
    own = executable.entrypoint or executable.command or executable.kind is ExecutableKind.NOTEBOOK
    if own or image.entrypoint or image.command:
        return []
    text = "{site}: the image {image} names no program to run: give a command"
    values = {"site": site.id, "image": image.location}
    return [Note("missing-value", text, values, Level.ERROR, "/executable/command")]


def _path(executable: Executable, number: int) -> str | None:
    """Which part of the request names the image; of a notebook's, none does."""
    if executable.kind is ExecutableKind.NOTEBOOK:
        return None
    if executable.kind is ExecutableKind.SINGULARITY:
        return "/executable/location"
    return f"/executable/image/locations/{number}"


_KINDS = {
    Trouble.GONE: "image-not-found",
    Trouble.PRIVATE: "image-not-public",
    Trouble.DIGEST: "image-digest",
    Trouble.PLATFORM: "image-platform",
    Trouble.TYPE: "image-type",
    Trouble.ADDRESS: "image-registry",
    Trouble.BLOCKED: "image-registry",
    Trouble.UNKNOWN: "image-unknown",
}
