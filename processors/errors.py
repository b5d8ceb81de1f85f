"""What a reader says of a file that cannot be read. An OSError is another matter: it is of the way to the file."""

#: What a damaged file is quoted with ends here [characters].
LONGEST = 1000


class ReadError(ValueError):
    """What was asked for cannot be read; trying again would not help."""

    def __init__(self, text: str) -> None:
        # Names that come from a damaged file may be anything, also what no text file or data base takes.
        shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text[:LONGEST])
        super().__init__(shown + ("..." if len(text) > LONGEST else ""))


class UnreadableFile(ReadError):  # noqa: N818
    """The content of a file is not what it should be: empty, truncated, damaged, of another format, a directory."""


class MissingTree(ReadError):  # noqa: N818
    """The file has no tree (ROOT) or no data set (HDF5) of the name needed."""


class MissingBranch(ReadError):  # noqa: N818
    """The tree or table lacks a column that is needed."""


class ChangedFile(ReadError):  # noqa: N818
    """The file is not the one that was planned: another one has taken its name."""


def first_line(problem: BaseException) -> str:
    """The first line of what an exception says, or its type where it says nothing."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0] if lines else type(problem).__name__


def check_identity(path: str, found: str, planned: str | None) -> None:
    """Raises ChangedFile unless the identity found is the planned one; None: any will do."""
    if planned is not None and found != planned:
        raise ChangedFile(f"{path} is not the file that was planned: it has the uuid {found}, the plan has {planned}")
