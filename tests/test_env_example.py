"""`.env.example` says what the settings table says."""

from __future__ import annotations

import re
from pathlib import Path

from vws.config import SETTINGS, Config, load

EXAMPLE = Path(__file__).parent.parent / ".env.example"


def example_entries() -> dict[str, tuple[str, str]]:
    """Each variable of the file: its value, and the comment above it."""
    entries, comment = {}, ""
    for line in EXAMPLE.read_text().splitlines():
        if line.startswith("#"):
            comment = f"{comment} {line.removeprefix('#').strip()}".strip()
        elif match := re.fullmatch(r"([A-Z_]+)=(.*)", line):
            entries[match[1]] = (match[2], comment)
            comment = ""
        else:
            assert not line, f"neither a comment nor a variable: {line}"
            comment = ""
    return entries


def test_the_example_explains_every_setting_and_no_other() -> None:
    entries = example_entries()
    assert sorted(entries) == sorted(setting.name for setting in SETTINGS)
    for setting in SETTINGS:
        value, comment = entries[setting.name]
        default = f"Default: {setting.default or 'blank'}"
        if setting.development:
            default += f", in development {setting.development}"
        assert comment == f"{setting.about} {default}."
        assert value in {"", setting.default}


def test_the_example_copied_as_it_is_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    config, warnings = load(tmp_path, {})
    assert config == Config()
    assert warnings == config.problems()
