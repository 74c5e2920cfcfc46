"""Add the optional columns that an older `accounts` table lacks, all nullable; no row is touched."""

from __future__ import annotations

from typing import Any

import peewee

__all__ = ["up"]

OPTIONAL: dict[str, peewee.Field[Any]] = {
    "planId": peewee.IntegerField(null=True),
    "meta": peewee.TextField(null=True),
    "contactId": peewee.IntegerField(null=True),
    "created": peewee.IntegerField(null=True),
}


def up(migrator: Any, db: Any) -> None:
    present = {column.name.lower() for column in db.get_columns("accounts")}
    for name, field in OPTIONAL.items():
        if name.lower() not in present:
            migrator.migrate(migrator.add_column("accounts", name, field))
