"""Put on PYTHONPATH, makes reads of data files fail in every Python process: below uproot, h5py, pyarrow and our code.

FAULTY_READS says how: `fifth` (every fifth read), `random:<seed>` (one in five), or `region:<name>:<start>:<stop>`
(every read of these bytes of the file, for ever). FAULTY_LOG is a file that gets a line per read.
"""

import errno
import os
import random
from collections import Counter
from pathlib import PurePath

MODE, *ARGUMENTS = os.environ.get("FAULTY_READS", "none").split(":")
LOG = os.environ.get("FAULTY_LOG")
SUFFIXES = (".root", ".h5", ".parquet")

if MODE != "none":
    real_pread = os.pread
    state = {"reads": 0}
    seen: Counter[str] = Counter()

    def chance(name: str, size: int, offset: int) -> bool:
        """The same for the same bytes read for the same time, in whatever process and order."""
        place = f"{PurePath(name).name}:{offset}:{size}"
        seen[place] += 1
        return random.Random(f"{ARGUMENTS[0]}:{place}:{seen[place]}").random() < 0.2  # noqa: S311

    def failing(name: str, size: int, offset: int) -> bool:
        if MODE == "region":
            wanted, start, stop = ARGUMENTS[0], int(ARGUMENTS[1]), int(ARGUMENTS[2])
            return name.endswith(wanted) and offset < stop and offset + size > start
        return state["reads"] % 5 == 0 if MODE == "fifth" else chance(name, size, offset)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        name = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
        if not name.endswith(SUFFIXES):
            return real_pread(descriptor, size, offset)
        state["reads"] += 1
        fails = failing(name, size, offset)
        if LOG:
            log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.write(log, b"fault\n" if fails else b"read\n")
            os.close(log)
        if fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real_pread(descriptor, size, offset)

    os.pread = pread
