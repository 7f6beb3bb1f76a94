"""What pyvo reads from a TAP service and a DataLink document: `pyvo_reads.py TAP QUERY DOCUMENT` prints JSON.

Run in the environment of `environment.py`.
"""

from __future__ import annotations

import json
import sys

import pyvo
from pyvo.dal.adhoc import DatalinkResults


def main() -> None:
    tap, query, document = sys.argv[1:]
    rows = pyvo.dal.TAPService(tap).run_sync(query)
    links = DatalinkResults.from_result_url(document)
    # bysemantics would fetch the vocabulary from ivoa.net
    this = [[link.access_url, int(link.content_length)] for link in links if link.semantics == "#this"]
    sys.stdout.write(json.dumps({"rows": [[str(row["access_url"]) for row in rows]], "this": this}) + "\n")


if __name__ == "__main__":
    main()
