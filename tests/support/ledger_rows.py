"""Rows of a ledger for its tests: item N of sample S, done or not, and the skim it left."""

from analysis.engine.ledger import Entry, Skim


def entry(number: int, sample: str = "ZZ", mark: str = "v1", **facts: object) -> Entry:
    return Entry(f"{sample}/u/{number:06d}", mark, sample, f"{sample}.root", number, number + 1, **facts)  # type: ignore[arg-type]


def done(number: int, sample: str = "ZZ", mark: str = "v1", **facts: object) -> Entry:
    return entry(number, sample, mark, state="done", **facts)


def skim(number: int, sample: str = "ZZ") -> Skim:
    return Skim(f"{sample}/{number}.parquet", sample, f".staged/v1/{sample}/{number}.parquet", 100, 10)
