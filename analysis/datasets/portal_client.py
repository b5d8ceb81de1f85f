"""One record of the CERN Open Data portal, by cernopendata-client: `python -m analysis.datasets.portal_client ...`.

A process of its own, because that client ends its process on any trouble and waits for ever for a silent server. Prints
a line of JSON; what the client itself prints comes before it.
"""

from __future__ import annotations

import json
import sys

#: Of what a record says of itself.
KEYS = ("recid", "title", "doi", "distribution", "availability")


def main(server: str, kind: str, value: str) -> None:
    """Print the record that has `value` as its `kind` (recid or doi): what it says of itself, and its files."""
    from cernopendata_client.searcher import get_files_list, get_record_as_json

    record = get_record_as_json(server=server, **{kind: value})
    files = get_files_list(server=server, record_json=record, protocol="xrootd", expand=True, verbose=True)
    print(json.dumps({"metadata": {key: record["metadata"].get(key) for key in KEYS}, "files": files}))


if __name__ == "__main__":
    main(*sys.argv[1:])
