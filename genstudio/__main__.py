"""`python -m genstudio` (and `torchrun -m genstudio`) is the `genstudio` command."""

from genstudio.cli.main import main

if __name__ == "__main__":
    main()
