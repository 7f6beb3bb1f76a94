from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from federation.sites import Federation, Place, Site
from tests.catalogues.patience import patient
from tests.rucio.conveyor import Conveyor, conveyor
from tests.rucio.server import Admin, Rucio, rucio
from tests.rucio.storage import described, storage

__all__ = ["patient"]


@dataclass(frozen=True)
class World:
    """A Rucio whose storages are one server of real bytes, and what is in it (in the scope "sky").

    Storage elements: A1 and A2 of the site a; B of b; C, whose attribute `site` says C; TAPE of c; ROOT of b,
    by root alone; OFF of a, which can't be read. Rules may bring data from C to B.
    """

    rucio: Rucio
    admin: Admin
    conveyor: Conveyor

    @property
    def federation(self) -> Federation:
        def site(id_: str, *rses: str) -> Site:
            return Site(id_, id_.upper(), Place(10, 10), rses=rses, data_hosts=("127.0.0.1:*",))

        sites = {"a": site("a", "A1", "A2", "OFF"), "b": site("b", "B", "ROOT"), "c": site("c", "TAPE")}
        return Federation("test", sites, {"rucio": self.rucio.options})

    def dataset(self, name: str, **at: range) -> list[str]:
        """A new dataset of the files that are at the storage elements, by their numbers; all their names."""
        numbers = sorted({number for each in at.values() for number in each})
        for rse, some in at.items():
            self.admin.replicas(rse, described("sky", [f"{name}/{number}.fits" for number in some]))
        names = [f"{name}/{number}.fits" for number in numbers]
        self.admin.collection("DATASET", "sky", name, names)
        return names


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with (
        storage(has_all=True) as files,
        rucio(tmp_path_factory.mktemp("rucio")) as server,
        conveyor(server) as daemons,
    ):
        admin = server.admin()
        admin.scope("sky")
        for rse in ("A1", "A2", "B", "OFF"):
            admin.rse(rse, files.port)
        admin.rse("C", files.port, attributes={"site": "C"})
        admin.rse("TAPE", files.port, tape=True)
        admin.rse("ROOT", files.port, scheme="root")
        admin.distance("C", "B")
        # rules may bring data there, for our account
        admin.quota("root", "B", 10**12)
        yield World(server, admin, daemons)
        admin.close()
