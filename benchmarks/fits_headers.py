"""Requests and bytes for the headers of a FITS file: ours beside astropy's own remote reading.

    python benchmarks/fits_headers.py

A server on loopback counts what is asked of it and sent. The files are sparse: their data are zeros that no
disk holds, and nobody reads. Seconds are medians of several readings over loopback, where a round trip costs
nothing: over a network each request costs one more. Ours is whole: a process that reads, at the site in the
product, and one of astropy's for the coordinates; "headers alone" is the reading, in this process.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy
from astropy.io import fits
from astropy.wcs import WCS

from broker.inspect.far import read_headers
from broker.inspect.looking import look

# what fsspec is told, beside astropy's way to open: "as it comes" is what a first attempt does
WAYS: dict[str, dict[str, Any]] = {
    "astropy, as it comes": {},
    "astropy, blocks of 64 kB": {"block_size": 65536, "cache_type": "readahead"},
    "astropy, no cache": {"cache_type": "none"},
}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    directory: Path
    requests = 0
    sent_bytes = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """Who reads may leave before the end."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.server.requests += 1
        path = self.server.directory / Path(self.path).name
        size = path.stat().st_size
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        first = int(part[1]) if part else 0
        last = min(int(part[2]), size - 1) if part and part[2] else size - 1
        self.send_response(206 if part else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last - first + 1))
        if part:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            with path.open("rb") as file:
                file.seek(first)
                left = last - first + 1
                while left and (block := file.read(min(left, 65536))):
                    # before it is read: the next reading may begin at once
                    self.server.sent_bytes += len(block)
                    self.wfile.write(block)
                    left -= len(block)
        except OSError:
            self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving(directory: Path) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.directory = directory
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def sparse(path: Path, *headers: fits.Header) -> None:
    """A file of these headers, with as many zeros behind each as it says."""
    with path.open("wb") as file:
        for header in headers:
            file.write(header.tostring().encode())
            cells = 1
            for number in range(1, header["NAXIS"] + 1):
                cells *= header[f"NAXIS{number}"]
            data = abs(header["BITPIX"]) // 8 * cells if header["NAXIS"] else 0
            file.truncate(file.tell() + -(-data // 2880) * 2880)
            file.seek(0, 2)


def image(shape: tuple[int, ...], cards: int, primary: bool = False) -> fits.Header:
    # a view of one zero: only its shape counts
    data = numpy.broadcast_to(numpy.zeros(1, ">f4"), shape)
    header = (fits.PrimaryHDU if primary else fits.ImageHDU)(data).header
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150, 2]
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    header.update(wcs.to_header())
    for number in range(cards):
        header[f"KEY{number}"] = number
    return header


def make(directory: Path) -> dict[str, Path]:
    empty = fits.PrimaryHDU().header
    files = {
        "67 MB, 3 HDUs": (empty, image((4096, 2048), 60), image((4096, 2048), 60)),
        "200 GB cube, 1 HDU": (image((6000, 2900, 2900), 200, primary=True),),
        "camera, 61 HDUs": (empty, *(image((4096, 2048), 120) for _ in range(60))),
        "long header (1500 cards), 2 HDUs": (
            image((1000, 1000), 1500, primary=True),
            image((1000, 1000), 30),
        ),
    }
    found = {}
    for number, (name, headers) in enumerate(files.items()):
        found[name] = directory / f"{number}.fits"
        sparse(found[name], *headers)
    return found


def ours(url: str) -> int:
    return len(look(None, url, anywhere=True).hdus)


def headers_alone(url: str) -> int:
    return len(read_headers(url, None, None)["hdus"])


def theirs(options: dict[str, Any]) -> Callable[[str], int]:
    def read(url: str) -> int:
        import fsspec

        # nothing of the last reading is left in its caches
        fsspec.get_filesystem_class("http").clear_instance_cache()
        with fits.open(url, use_fsspec=True, fsspec_kwargs=options, lazy_load_hdus=False) as hdus:
            return sum(1 for hdu in hdus if hdu.header is not None)

    return read


def measure(server: _Server, read: Callable[[str], int], url: str, times: int) -> dict[str, Any]:
    seconds = []
    for _ in range(times):
        server.requests = server.sent_bytes = 0
        begun = time.perf_counter()
        hdus = read(url)
        seconds.append(time.perf_counter() - begun)
    return {
        "hdus": hdus,
        "requests": server.requests,
        "bytes": server.sent_bytes,
        "seconds": round(statistics.median(seconds), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    ways = {
        "fairlead": ours,
        "fairlead, headers alone": headers_alone,
        **{name: theirs(options) for name, options in WAYS.items()},
    }
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as server:
        for title, path in make(Path(name)).items():
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            results[title] = {way: measure(server, read, url, chosen.times) for way, read in ways.items()}
    if chosen.json:
        print(json.dumps(results, indent=2))
        return
    for title, found in results.items():
        print(f"{title}:")
        for way, figures in found.items():
            print(
                f"  {way:26} {figures['requests']:4} requests {figures['bytes'] / 1000:12,.1f} kB "
                f"{figures['seconds']:7.3f} s"
            )


if __name__ == "__main__":
    main()
