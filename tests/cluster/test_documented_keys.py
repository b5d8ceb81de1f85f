"""docs/clusters.md has every key of a cluster's file, with the words and the default of the settings."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from cluster.settings import (
    Certificates,
    ClusterSettings,
    CredentialSettings,
    DriverSettings,
    PoolSettings,
    SchedulerSettings,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clusters.md"
TABLES: dict[str, type[BaseModel]] = {
    "": ClusterSettings,
    "pools.cpu and pools.gpu: ": PoolSettings,
    "scheduler: ": SchedulerSettings,
    "certificates: ": Certificates,
    "credentials: ": CredentialSettings,
    "driver: ": DriverSettings,
}


def rows(title: str, model: type[BaseModel]) -> list[str]:
    lines = [f"| {title}key | default | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        if field.description is not None:
            meaning = field.description.replace("|", "\\|")
            lines.append(f"| `{name}` | {shown(field.get_default(call_default_factory=True))} | {meaning} |")
    return lines


def shown(default: Any) -> str:
    if isinstance(default, BaseModel) or default in (None, [], {}) or "Undefined" in str(default):
        return ""
    if isinstance(default, float):
        return f"{default:g} s"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


@pytest.mark.parametrize("title", TABLES)
def test_every_key_is_there(title: str) -> None:
    page = PAGE.read_text()
    missing = [row for row in rows(title, TABLES[title]) if row not in page.splitlines()]
    assert missing == []
