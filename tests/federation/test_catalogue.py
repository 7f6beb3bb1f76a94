"""The catalogue: what it says becomes a Federation, and every mistake in it is one line that says where."""

# The lines that users get are compared whole, and stand here as they get them.
# ruff: noqa: E501

from __future__ import annotations

import tomllib
from importlib.metadata import entry_points
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

import federation.catalogue_file as shape
from federation.catalogue import builtin_federation, load_federation
from federation.errors import InputError
from federation.hosts import LocalHost, NamespaceHost, SshHost
from federation.sites import Energy, Place, Policy, Site, Tariff

KINDS = ", ".join(sorted(entry.name for entry in entry_points(group="fairlead.platforms")))
EXAMPLE = files("federation") / "data" / "example.toml"
BASE = """name = "Test"
[sites.perth]
name = "Perth"
latitude = -31.95
longitude = 115.86
"""
PLATFORM = """[sites.perth.platform]
kind = "simulated"
cores = 64
memory = "256 GiB"
storage = "1 TiB"
"""
OTHER = """[sites.capetown]
name = "Cape Town"
latitude = -33.92
longitude = 18.42
"""


@pytest.fixture
def load(tmp_path):
    def load(text: str):
        path = tmp_path / "sites.toml"
        path.write_bytes(text.encode())
        return load_federation(path)

    return load


def test_the_least_site_gets_the_defaults(load):
    federation = load(BASE)
    assert federation.name == "Test"
    assert list(federation) == [Site("perth", "Perth", Place(-31.95, 115.86))]


def test_every_field_of_the_example_arrives():
    site = load_federation(EXAMPLE)["perth"]
    assert site.place == Place(-31.95, 115.86)
    assert site.contact == "noc@perth.example.org"
    assert site.rses == ("PERTH-DISK", "PERTH-TAPE")
    assert site.data_hosts == ("data.perth.example.org", "*.storage.perth.example.org:8443")
    assert site.registries == ("images.perth.example.org",)
    assert (site.iperf3_address, site.iperf3_port) == ("192.0.2.10", 5201)
    assert site.perfsonar_hosts == ("ps-throughput.perth.example.org", "192.0.2.11")
    assert site.host == LocalHost()
    assert site.platform is not None
    assert (site.platform.kind, site.platform.cores) == ("simulated", 512)
    assert site.platform.memory_gib == 2048
    assert site.platform.storage_gib == 93_132  # 100 TB, rounded down
    assert site.platform.architectures == ("amd64", "arm64")
    assert (site.platform.max_cores, site.platform.max_memory_gib) == (64, 256)
    assert site.platform.max_duration_seconds == 3 * 86_400
    assert site.platform.compute_performance == 180
    assert site.platform.options == {}
    space, cloud = site.space
    assert space.source == "static"
    assert (cloud.source, cloud.book, cloud.options) == ("blazar", "virtual:instance", {"cloud": "perth"})
    assert [host["name"] for host in space.options["hosts"]] == ["gpu"]
    assert site.credits is not None
    assert (site.credits.source, site.credits.options["purses"][0]["granted"]) == ("static", 10_000)
    assert site.tariff == Tariff(0.12, 0.02, 0.004, 0.0001)
    assert site.energy == Energy(7.5, 540)
    assert site.policy == Policy(
        allowed_registries=("docker.io", "*.example.org"),
        denied_registries=("untrusted.example.org",),
        digest_required=True,
        allowed_data=("*.example.org",),
        denied_data=("https://archive.example.org/embargoed/*",),
        denied_endpoints=("https://s3.untrusted.example.org*",),
        denied_namespaces=("private-*",),
        denied_ivoids=("ivo://example.org/embargoed*",),
        denied_notebooks=("https://pastebin.example.org/*",),
        denied_ports=(22, 25),
        denied_paths=("/admin*",),
        max_open_offers=20,
        rebook=True,
        allowed_networks=("10.20.0.0/16", "storage.perth.internal"),
    )
    assert load_federation(EXAMPLE)["capetown"].host == SshHost(
        "fairlead@dtn.capetown.example.org",
        2222,
        "/etc/fairlead/known_hosts",
        "~/.ssh/fairlead",
        "/usr/bin/python3.11",
    )


def test_a_host_may_be_a_network_namespace(load):
    namespace = 'host = { kind = "namespace", name = "fl-perth" }'
    assert load(BASE + namespace)["perth"].host == NamespaceHost("fl-perth")


def test_an_ssh_host_needs_no_more_than_a_name(load):
    assert load(BASE + 'host = { kind = "ssh", name = "dtn" }')["perth"].host == SshHost("dtn")


def test_the_example_shows_every_field():
    """A new field without its example, or without words for its error, fails here."""
    document = tomllib.loads(EXAMPLE.read_text())
    site = document["sites"]["perth"]
    shown = {
        shape.FederationTable: document,
        shape.SiteTable: site,
        shape.PlatformTable: site["platform"],
        shape.SpaceTable: site["space"][0] | site["space"][1],
        shape.CreditsTable: site["credits"],
        shape.TariffTable: site["tariff"],
        shape.EnergyTable: site["energy"],
        shape.PolicyTable: site["policy"],
        shape.HostTable: document["sites"]["capetown"]["host"],
    }
    assert set(shown) == set(shape.Table.__subclasses__())
    for model, table in shown.items():
        assert set(table) == set(model.model_fields)
        assert all(field.description for field in model.model_fields.values())


def test_the_builtin_federation_has_space_and_differs_in_price():
    federation = builtin_federation()
    assert list(federation.sites) == ["perth", "capetown", "manchester", "lausanne", "penticton"]
    for number, site in enumerate(federation, start=1):
        assert site.rses == (f"{site.id.upper()}-DISK",)
        assert federation.site_of_url(f"http://10.77.{number}.2:8080/x.fits") is site
        assert site.platform is not None
        assert site.platform.kind == "simulated"
        assert site.platform.cores >= 1000
        assert 100 <= site.platform.compute_performance <= 300
        hourly = site.tariff.per_core_hour + site.tariff.per_gib_hour
        assert hourly >= 0.1
        assert 2 * hourly <= 0.5
    assert len({site.tariff for site in federation}) == 5
    assert len({site.energy for site in federation}) == 5


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (BASE + "rses = 7\n", 6, "[sites.perth] rses: expected a list of strings, got 7"),
        (BASE + 'rses = ["A", 7]\n', 6, '[sites.perth] rses: expected a list of strings, got ["A", 7]'),
        (BASE + 'rses = [\n  "A",\n  7,\n]\n', 6, '[sites.perth] rses: expected a list of strings, got ["A", 7]'),
        (BASE + "iperf3_port = true\n", 6, "[sites.perth] iperf3_port: expected a port between 1 and 65535, got true"),
        (BASE + 'tariff = { per_core_hour = "1" }', 6, '[sites.perth.tariff] per_core_hour: expected a number of at least 0, got "1"'),
        (BASE + "[sites.perth.energy]\n\nwatts_per_core = nan", 8, "[sites.perth.energy] watts_per_core: expected a number of at least 0, got NaN"),
        (BASE.replace("-31.95", "-91"), 4, "[sites.perth] latitude: expected degrees north between -90 and 90, got -91"),
        (BASE.replace("longitude", "longitud"), 2, "[sites.perth] longitude: expected degrees east between -180 and 180, but it is missing (and 1 more)"),
        (BASE + 'host = { kind = "rsh" }', 6, '[sites.perth.host] kind: expected "local", "namespace" or "ssh", got "rsh"'),
        (BASE + 'host = { kind = "ssh" }', 6, '[sites.perth.host] name: expected "host" or "user@host", but it is missing'),
        (BASE + 'host = { kind = "ssh", name = "-oProxyCommand=x" }', 6, '[sites.perth.host] name: expected "host" or "user@host", got "-oProxyCommand=x"'),
        (BASE + 'host = { kind = "ssh", name = "a", known_hosts = "keys" }', 6, '[sites.perth.host] known_hosts: expected a path that begins with "/" or "~/", got "keys"'),
        (BASE + 'host = { kind = "local", port = 22 }', 6, '[sites.perth.host] port: expected this at a host of kind "ssh" only, got "local"'),
        (BASE + 'host = { kind = "namespace" }', 6, "[sites.perth.host] name: expected the name of a network namespace, but it is missing"),
        (BASE + 'host = { kind = "local", name = "x" }', 6, '[sites.perth.host] name: expected no name for this machine itself, got "x"'),
        (BASE + PLATFORM.replace('"256 GiB"', "256"), 9, '[sites.perth.platform] memory: expected a size such as "256 GiB" or "200 MB", of at least 1 GiB, got 256'),
        (BASE + PLATFORM.replace('"256 GiB"', '"1 GB"'), 9, '[sites.perth.platform] memory: expected a size such as "256 GiB" or "200 MB", of at least 1 GiB, got "1 GB"'),
        (BASE + PLATFORM + 'max_duration = "1 month"', 11, '[sites.perth.platform] max_duration: expected a duration such as "3d", "1h30m", "90 min" or "PT3H", got "1 month"'),
        (BASE + PLATFORM + "max_cores = 65", 11, "[sites.perth.platform] max_cores: expected at most the platform's 64 cores, got 65"),
        (BASE + PLATFORM + 'max_memory = "1 TiB"', 11, "[sites.perth.platform] max_memory: expected at most the platform's 256 GiB, got 1024 GiB"),
        (BASE + PLATFORM.replace("simulated", "simulatd"), 7, '[sites.perth.platform] kind: expected one of ' + KINDS + ', got "simulatd"'),
        (BASE + PLATFORM + "core = 1", 11, "[sites.perth.platform] core: unknown key; expected one of kind, cores, memory, storage, architectures, max_cores, max_memory, max_storage, max_duration, compute_performance, options"),
        (BASE + "[sites.perth.tarif]\nx = 1", 6, "[sites.perth] tarif: unknown key; expected one of name, latitude, longitude, contact, rses, data_hosts, registries, iperf3_address, iperf3_port, perfsonar_hosts, link, host, platform, space, credits, tariff, energy, policy"),
        (BASE + '[sites.perth.policy]\nallowed_networks = ["10.0.0.0/33"]', 7, '[sites.perth.policy] allowed_networks: expected a list of networks or host names such as ["10.1.0.0/16"], got ["10.0.0.0/33"]'),
        (BASE + "[other]\nx = 1", 6, "other: unknown key; expected one of name, sites, catalogues"),
        (BASE + OTHER.replace("capetown", '"Cape Town"'), 6, '[sites] Cape Town: expected lower-case letters, digits, "-" and "_" as the id of a site'),
        (BASE + 'rses = ["A"]\n' + OTHER + '# twice:\nrses = ["B", "A"]', 12, '[sites.capetown] rses: expected names of this site alone, got "A", which perth has too'),
        (BASE + 'data_hosts = ["a"]\n' + OTHER + 'data_hosts = ["a"]', 11, '[sites.capetown] data_hosts: expected names of this site alone, got "a", which perth has too'),
        (BASE.replace('"Test"', '""'), 1, 'name: expected a name for people, not empty, got ""'),
        ('name = "x"\nsites = []', 2, "sites: expected a table of sites, [sites.ID], got []"),
        ('name = "x"\n[sites]', 2, "sites: expected at least one site, got none"),
        ('name = "x"\n[sites]\na = 1', 3, "[sites] a: expected a table, got 1"),
        ("", 1, "name: expected a name for people, not empty, but it is missing (and 1 more)"),
        (BASE + "rses = [", 6, "expected TOML: Invalid value at the end of the file"),
        (BASE + "rses = yes\n", 6, "expected TOML: Invalid value"),
        (BASE + OTHER + 'name = "again"', 10, "expected TOML: Cannot overwrite a value at the end of the file"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_line(load, tmp_path, text, line, message):
    with pytest.raises(InputError) as caught:
        load(text)
    assert str(caught.value) == f"{tmp_path / 'sites.toml'}:{line}: {message}"


def test_an_rse_twice_at_one_site_is_harmless(load):
    assert load(BASE + 'rses = ["A", "A"]')["perth"].rses == ("A", "A")


def test_a_file_that_can_not_be_read_is_told(tmp_path):
    missing = tmp_path / "no.toml"
    with pytest.raises(
        InputError, match=r"no\.toml: the catalogue can't be read: No such file or directory$"
    ):
        load_federation(missing)
    with pytest.raises(InputError, match=r"can't be read: Is a directory$"):
        load_federation(tmp_path)
    missing.write_bytes(b'name = "\xff"')
    with pytest.raises(InputError, match=r"no\.toml: expected UTF-8 text, got another byte at offset 8$"):
        load_federation(missing)


@given(
    st.recursive(
        st.sampled_from(["7", "true", "1.5", '"x"', "1979-05-27", "inf"]),
        lambda inner: (
            st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]")
            | inner.map(lambda value: f"{{ kind = {value}, memory = {value} }}")
        ),
        max_leaves=4,
    ),
    st.sampled_from(sorted(shape.SiteTable.model_fields)),
)
def test_no_value_anywhere_raises_anything_but_one_line(tmp_path_factory, value, key):
    path = tmp_path_factory.mktemp("catalogue") / "sites.toml"
    lines = [
        line for line in BASE.splitlines() if not line.startswith(f"{key} ") or line.startswith('name = "T')
    ]
    path.write_text("\n".join([*lines, f"{key} = {value}"]))
    try:
        load_federation(path)
    except InputError as error:
        text = str(error)
        assert text.startswith(f"{path}:{len(lines) + 1}: [sites.perth")
        assert "\n" not in text
