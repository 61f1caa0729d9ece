"""The `genstudio` command: one file per subcommand, errors turned into two lines and an exit code here.

Nothing at import time needs torch: `genstudio --help` has to be instant. Whatever goes wrong, `--json` leaves
nothing but JSON on stdout.
"""

import json
import sys
from collections.abc import Callable

import typer

from genstudio.cli.bench import bench
from genstudio.cli.compare import compare
from genstudio.cli.distill import distill
from genstudio.cli.doctor import doctor
from genstudio.cli.eval_fid import eval_fid
from genstudio.cli.features import features
from genstudio.cli.info import info
from genstudio.cli.models import models
from genstudio.cli.reconstruct import reconstruct
from genstudio.cli.sample import sample
from genstudio.cli.train import train
from genstudio.errors import Exit, GenstudioError, is_lost_process, is_out_of_memory
from genstudio.processes import Processes
from genstudio.runtime import use_large_pages

# Typer brings its own click in newer versions and uses the installed one in older ones.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name="genstudio",
    help="A studio for autoregressive image and video generation.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(sample)
app.command("eval-fid")(eval_fid)
app.command()(compare)
app.command()(bench)
app.command()(train)
app.add_typer(distill, name="distill")
app.command()(features)
app.add_typer(models, name="models")
app.command()(reconstruct)
app.command()(info)
app.command()(doctor)


def main() -> None:
    """Entry point: run the command line and leave with its exit code."""
    use_large_pages()
    sys.exit(guarded(lambda: app(standalone_mode=False), as_json="--json" in sys.argv))


def guarded(body: Callable[[], object], as_json: bool) -> int:
    """Run `body`; errors that users can mend become two lines (or JSON) and the exit code they carry."""
    try:
        result = body()
        if result == Exit.INTERRUPTED:  # some versions of Typer turn Ctrl-C into this code and say nothing
            raise KeyboardInterrupt
        return result if isinstance(result, int) else int(Exit.OK)
    except GenstudioError as error:
        return _fail(error, as_json)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "genstudio"
        message = str(getattr(error, "format_message", error.__str__)())
        return _fail(GenstudioError(message, f"See {command} --help."), as_json)
    except (KeyboardInterrupt, typer.Abort):
        hint = "What was finished is kept."
        return _fail(GenstudioError("Interrupted.", hint, Exit.INTERRUPTED), as_json)
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            hint = "Lower --batch, or choose a smaller model."
            return _fail(GenstudioError("There is not enough memory.", hint, Exit.MEMORY), as_json)
        if is_lost_process(error):
            hint = "What it said itself, if anything, tells why."
            gone = GenstudioError("Another process of this run has ended.", hint, Exit.INTERNAL)
            return _fail(gone, as_json)
        raise


def _fail(error: GenstudioError, as_json: bool) -> int:
    """Of several processes the first speaks as one would; the others are heard for troubles of their own,
    and Ctrl-C is none."""
    processes = Processes.of_this_run()
    if not processes.first:
        if error.code != Exit.INTERRUPTED:
            print(f"process {processes.rank}: {error.message} {error.hint}", file=sys.stderr)
    elif as_json:
        body = {"message": error.message, "hint": error.hint, "code": int(error.code)}
        print(json.dumps({"error": body}))
    else:
        print(f"{error.message}\n{error.hint}", file=sys.stderr)
    return int(error.code)
