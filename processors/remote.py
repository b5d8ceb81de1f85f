"""Parts of a file on a server (http, root, s3, ... through fsspec), with the same patience as for local files."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import fsspec
import fsspec.asyn

from processors import webdav
from processors.errors import UnreadableFile, first_line
from processors.patient import Attempts, Patience

#: h5py asks for a few bytes at a time: from a server, whole blocks are fetched and the last ones kept [bytes].
BLOCK = 256 * 1024
BLOCKS_KEPT = 64
#: Schemes of XRootD's addresses.
XROOTD = ("root", "xroot")
#: The extra of this package that brings what a scheme needs.
EXTRAS = {**dict.fromkeys(XROOTD, "xrootd"), "s3": "s3", "s3a": "s3", **dict.fromkeys(webdav.SCHEMES, "webdav")}
#: Requests at once to a server that is asked for each range on its own.
CONNECTIONS = 32


def file_system(path: str, patience: Patience, *, writing: bool = False) -> tuple[Any, str]:
    """The file system of an address, and the path there. Raises UnreadableFile where nothing here can open it.

    With `writing` it is one that can write, where the address has any.
    """
    scheme = path.partition("://")[0]
    try:
        if scheme in XROOTD:
            from processors import xrootd

            return xrootd.file_system(path, patience)
        if scheme in webdav.SCHEMES and writing:
            return webdav.file_system(path, patience)
        system, inner = fsspec.core.url_to_fs(path) if scheme not in webdav.SCHEMES else _web(path)
    except ImportError as problem:
        extra = f"; pip install 'hepbatch[{EXTRAS[scheme]}]' brings it" if scheme in EXTRAS else ""
        raise UnreadableFile(
            f"cannot {'write' if writing else 'read'} {path}: a package for {scheme}:// is missing here: "
            f"{first_line(problem)}{extra}"
        ) from problem
    except ValueError as problem:
        raise UnreadableFile(f"cannot {'write' if writing else 'read'} {path}: {first_line(problem)}") from problem
    return system, inner


def _web(path: str) -> tuple[Any, str]:
    """WebDAV is read as HTTP, with the user's credentials."""
    address = webdav.web_address(path)
    system, inner = fsspec.core.url_to_fs(address, client_kwargs={"headers": webdav.authorization(address)})
    return system, inner


class RemoteRanges(Attempts):
    """A file on a server. May be used by several threads."""

    def __init__(self, path: str, patience: Patience) -> None:
        super().__init__(path, patience)
        self._system, self._inner = file_system(path, patience)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._slots = asyncio.Semaphore(CONNECTIONS)
        #: What the server tells of the file, as fsspec names it.
        self.facts: dict[str, Any]
        (self.facts,) = self._submit(self._patiently("its size", [None])).result()
        if self.facts.get("type") == "directory":
            raise UnreadableFile(f"cannot read {path}: it is a directory, not a file")
        if self.facts.get("size") is None:
            raise UnreadableFile(f"cannot read {path}: the server does not tell its size")
        self.size = int(self.facts["size"])

    def get(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`, or to the end of the file; short ones come from blocks that are kept."""
        stop = self._checked(start, stop)
        if start >= stop:
            return b""
        if stop - start >= BLOCK:
            return self.submit([(start, stop)]).result()[0]
        numbers = range(start // BLOCK, (stop - 1) // BLOCK + 1)
        data = b"".join(self._block(number) for number in numbers)
        first = numbers[0] * BLOCK
        return data[start - first : stop - first]

    def submit(self, ranges: Sequence[tuple[int, int]]) -> "Future[list[bytes]]":
        """Many ranges at once; the result comes from a thread of fsspec, as does the error."""
        wanted = [(start, self._checked(start, stop)) for start, stop in ranges]
        return self._submit(self._patiently(f"{len(wanted)} ranges from byte {wanted[0][0]}", wanted))

    def close(self) -> None:
        """Forgets the blocks; connections belong to fsspec, which keeps them for the next file."""
        self._blocks.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _checked(self, start: int, stop: int) -> int:
        if start < 0 or stop < start:
            raise UnreadableFile(f"cannot read {self.path}: its content refers to the bytes {start} to {stop}")
        return min(stop, self.size)

    def _block(self, number: int) -> bytes:
        with self._lock:
            if number in self._blocks:
                self._blocks.move_to_end(number)
                return self._blocks[number]
        first = number * BLOCK
        data = self.submit([(first, first + BLOCK)]).result()[0]
        with self._lock:
            self._blocks[number] = data
            while len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return data

    def _submit(self, work: Coroutine[Any, Any, list[Any]]) -> "Future[list[Any]]":
        return asyncio.run_coroutine_threadsafe(work, fsspec.asyn.get_loop())

    async def _patiently(self, what: str, wanted: Sequence[tuple[int, int] | None]) -> list[Any]:
        """The ranges, or facts of the file for None. What failed is asked for again, the rest is kept."""
        results: dict[int, Any] = {}
        attempt = 0
        while True:
            attempt += 1
            missing = [index for index in range(len(wanted)) if index not in results]
            problem = await self._attempt([wanted[index] for index in missing], missing, results, fresh=attempt > 1)
            if problem is None:
                break
            await asyncio.sleep(self.failed(attempt, what, problem))
        return [results[index] for index in range(len(wanted))]

    async def _attempt(
        self, wanted: list[tuple[int, int] | None], places: list[int], results: dict[int, Any], *, fresh: bool
    ) -> BaseException | None:
        """Puts what comes into `results`; gives the first error."""
        if fresh:
            # XRootD keeps a file open: what failed must not be tried on a handle that is broken.
            again = getattr(self._system, "forget", None)
            answer = await self._limited(
                0, again(self._inner) if again else asyncio.to_thread(self._system.invalidate_cache, self._inner)
            )
            if isinstance(answer, BaseException):
                return answer
        problem: BaseException | None = None
        for place, one, answer in zip(places, wanted, await self._ask(wanted), strict=True):
            if isinstance(answer, BaseException):
                problem = problem or answer
            elif one is not None and len(answer) != one[1] - one[0]:
                problem = problem or self._wrong_length(one, len(answer))
            else:
                results[place] = answer
                self.bytes_read += 0 if one is None else len(answer)
        return problem

    async def _ask(self, wanted: list[tuple[int, int] | None]) -> list[Any]:
        """An answer or an exception for each range, in one vector read where the file system has them."""
        system, native = self._system, self._system.async_impl
        ranges = [one for one in wanted if one is not None]
        if not ranges:
            facts = await self._limited(
                0, system._info(self._inner) if native else asyncio.to_thread(system.info, self._inner)
            )
            return [facts]
        if native and type(system)._cat_ranges is fsspec.asyn.AsyncFileSystem._cat_ranges:
            # Each range is a request of its own, and may stall alone.
            return list(await asyncio.gather(*(self._ask_one(one) for one in ranges)))
        many: tuple[list[Any], ...] = (
            [self._inner] * len(ranges),
            [one[0] for one in ranges],
            [one[1] for one in ranges],
        )
        answers = await self._limited(
            sum(one[1] - one[0] for one in ranges),
            system._cat_ranges(*many, on_error="return")
            if native
            else asyncio.to_thread(system.cat_ranges, *many, on_error="return"),
        )
        return [answers] * len(ranges) if isinstance(answers, BaseException) else list(answers)

    async def _ask_one(self, one: tuple[int, int]) -> Any:
        async with self._slots:
            return await self._limited(one[1] - one[0], self._system._cat_file(self._inner, start=one[0], end=one[1]))

    async def _limited(self, size: int, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of a request for so many bytes, or its exception, which is judged in one place."""
        limit = self.patience.timeout + size / self.patience.slowest
        try:
            return await asyncio.wait_for(work, limit)
        except TimeoutError:
            return TimeoutError(f"no answer within {limit:.0f} s")
        except Exception as problem:  # any error of a server
            return problem

    def _wrong_length(self, one: tuple[int, int], length: int) -> Exception:
        if length == self.size:
            return UnreadableFile(f"cannot read {self.path}: its server does not give parts of files")
        return OSError(f"the server gave {length} of {one[1] - one[0]} bytes")
