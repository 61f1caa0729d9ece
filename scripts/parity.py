"""Replay fixture folders through genstudio's own modules: `python scripts/parity.py FOLDER...`.

Prints a line per output tensor, then `covered K of N outputs`. Exit code 0: every output of every folder lies
within its tolerance; 2: a method without a replay, or no fixture folder; 5: an output is missing or off.
"""

import sys
from pathlib import Path

from genstudio.cli.main import guarded
from genstudio.errors import Exit
from genstudio.parity.replays import main

if __name__ == "__main__":
    if len(sys.argv) < 2:
        print(f"usage: {sys.argv[0]} FOLDER...", file=sys.stderr)
        sys.exit(Exit.USAGE)
    sys.exit(guarded(lambda: main([Path(argument) for argument in sys.argv[1:]]), as_json=False))
