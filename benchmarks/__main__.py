"""Runs every benchmark, one after another; the exit status is 1 if one of them misses its requirement."""

import importlib
import pkgutil
import sys

import benchmarks


def main() -> int:
    """Runs the `main` of every module of this package and gives the worst exit status."""
    worst = 0
    for module in sorted(pkgutil.iter_modules(benchmarks.__path__), key=lambda module: module.name):
        if module.name != "__main__":
            found = importlib.import_module(f"benchmarks.{module.name}")
            if not hasattr(found, "main"):  # a part of another one
                continue
            sys.stdout.write(f"== {module.name}\n")
            sys.stdout.flush()
            worst = max(worst, int(found.main([])))
    return worst


if __name__ == "__main__":
    sys.exit(main())
