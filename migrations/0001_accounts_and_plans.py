"""Create `accounts` and `plans` where they are missing; tables that exist are left exactly as they are."""

from __future__ import annotations

from typing import Any

import peewee

__all__ = ["up"]

MYSQL = {
    "accounts": """
        CREATE TABLE IF NOT EXISTS accounts (
            id INT NOT NULL AUTO_INCREMENT,
            name VARCHAR(255) NOT NULL,
            token VARCHAR(255) NOT NULL,
            properties TEXT NOT NULL,
            planId INT,
            meta TEXT,
            contactId INT,
            created INT,
            PRIMARY KEY (id),
            UNIQUE KEY (token),
            KEY (planId),
            KEY (contactId),
            KEY (created)
        ) DEFAULT CHARSET=utf8mb4
    """,
    "plans": """
        CREATE TABLE IF NOT EXISTS plans (
            id INT NOT NULL AUTO_INCREMENT,
            name VARCHAR(255) NOT NULL,
            properties TEXT NOT NULL,
            PRIMARY KEY (id)
        ) DEFAULT CHARSET=utf8mb4
    """,
}

# AUTOINCREMENT as MySQL does it: the id of a removed plan must not come back for another one.
SQLITE = {
    "accounts": """
        CREATE TABLE IF NOT EXISTS accounts (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name VARCHAR(255) NOT NULL,
            token VARCHAR(255) NOT NULL UNIQUE,
            properties TEXT NOT NULL,
            planId INTEGER,
            meta TEXT,
            contactId INTEGER,
            created INTEGER
        )
    """,
    "plans": """
        CREATE TABLE IF NOT EXISTS plans (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            name VARCHAR(255) NOT NULL,
            properties TEXT NOT NULL
        )
    """,
}


def up(_migrator: Any, db: Any) -> None:
    statements = MYSQL if isinstance(db, peewee.MySQLDatabase) else SQLITE
    for table, statement in statements.items():
        if not db.table_exists(table):
            db.execute_sql(statement)
