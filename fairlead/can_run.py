"""Which sites can run an image, as their platforms and policies have it: `fairlead site check --image`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from broker.images.looking import Images
from broker.images.references import is_reference
from broker.model import Executable, Level, Note
from broker.offers.images import judged, look_for_images
from broker.offers.policy import executable_refused
from broker.platforms import OffersItself, PlatformError, PullsImages, SaysWhatFits, load_platform
from federation.clock import SystemClock
from federation.errors import InputError
from federation.sites import Federation, Site

SITES_AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """What one site says. `can_run` None: its own broker would have to be asked with a whole request, or a
    service or registry could not be asked."""

    site: str
    platform: str
    can_run: bool | None
    reasons: tuple[str, ...] = ()


def who_can_run(federation: Federation, image: str, directory: Path) -> list[Answer]:
    """What every site that has a platform says of `image`, in the catalogue's order.

    Services that know what may run at their sites are asked, all at the same time, and so are registries.
    `directory` is for what platforms may want to write. Raises InputError for what is no image's name, and
    for a platform that can't be made as the catalogue says.
    """
    if not is_reference(image):
        raise InputError(f"image: {image!r} is not the name of one: expected REGISTRY/PROJECT/NAME:TAG")
    executable = Executable(None, (image,))
    sites = [site for site in federation if site.platform is not None]
    platforms = {
        site.id: load_platform(site, federation, SystemClock(), directory / site.id) for site in sites
    }

    def learn(site: Site) -> PlatformError | None:
        try:
            if isinstance(platform := platforms[site.id], SaysWhatFits):
                platform.learn()
        except PlatformError as error:
            return error
        return None

    def ask(site: Site, silent: PlatformError | None) -> Answer:
        assert site.platform is not None
        platform, kind = platforms[site.id], site.platform.kind
        if isinstance(platform, OffersItself):
            return Answer(site.id, kind, None, ("its own broker says so to a whole request alone",))
        notes: Sequence[Note] = executable_refused(site, executable)
        if silent is not None:
            return Answer(site.id, kind, None, (*(note.text for note in notes), str(silent)))
        notes = [*platform.check(executable), *notes]
        if isinstance(platform, PullsImages) and site.id in looked:
            notes += judged(site, platform, looked[site.id], executable)
        refused = any(note.level is Level.ERROR for note in notes)
        unknown = any(note.kind == "image-unknown" for note in notes)
        answer = False if refused else None if unknown else True
        return Answer(site.id, kind, answer, tuple(note.text for note in notes))

    with ThreadPoolExecutor(SITES_AT_ONCE, "can-run") as pool:
        # which registries a service trusts is part of what it says
        silent = list(pool.map(learn, sites))
        looked = look_for_images(federation, platforms, executable, Images(SystemClock()))
        return list(map(ask, sites, silent))
