"""Which emoji the classes of var-emoji hold: groups, subgroups (the classes) and Unicode names, as JSON.

    python scripts/emoji_names.py checkpoints/var-emoji/emoji.json

reads the Debian packages fonts-noto-color-emoji and unicode-data once, so that nobody else needs them. Names
of held-out compositions are listed apart.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genstudio.cli.main import guarded

if TYPE_CHECKING:
    from genstudio.data.emoji import Entry

PIXELS = 64
app = typer.Typer(add_completion=False)


@app.command()
def emoji_names(file: Annotated[Path, typer.Argument(help="What to write.")]) -> None:
    """Write the table."""
    from genstudio.data.emoji import Emoji
    from genstudio.data.sources import open_pictures
    from genstudio.files import write_text

    held = {}
    for split, key in (("train", "seen"), ("test", "held out")):
        pictures = open_pictures("emoji", split, PIXELS, 3)  # type: ignore[arg-type]
        assert isinstance(pictures, Emoji)
        held[key] = pictures.entries
        classes = pictures.classes
    table = {name: _class(name, held) for name in classes}
    write_text(file, json.dumps(table, indent=0, ensure_ascii=False) + "\n")


def _class(name: str, held: "dict[str, list[Entry]]") -> dict[str, object]:
    """One class: its group, and the names of its pictures."""
    (group,) = {entry.group for entries in held.values() for entry in entries if entry.subgroup == name}
    names = {
        key: [entry.name for entry in entries if entry.subgroup == name] for key, entries in held.items()
    }
    return {"group": group, **names}


if __name__ == "__main__":
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json=False))
