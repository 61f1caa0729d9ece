"""Which table of official names belongs to which kind of config."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from genstudio.errors import Exit, GenstudioError
from genstudio.releases.release import Config
from genstudio.releases.rename import Table
from genstudio.releases.table_kl import kl_table
from genstudio.releases.table_lantern import drafter_table
from genstudio.releases.table_llamagen import llamagen_table
from genstudio.releases.table_mar import mar_table
from genstudio.releases.table_nar import nar_table
from genstudio.releases.table_students import llamagen_student_table, var_student_table
from genstudio.releases.table_var import tokenizer_table, transformer_table
from genstudio.releases.table_vq import vq_table

TABLES: Final[Mapping[str, Callable[[Any], Table]]] = {
    "var": transformer_table,
    "llamagen": llamagen_table,
    "nar": nar_table,
    "var_student": var_student_table,
    "llamagen_student": llamagen_student_table,
    "mar": mar_table,
    "drafter": drafter_table,
    "multiscale_vq": tokenizer_table,
    "vq": vq_table,
    "kl": kl_table,
}


def table_for(config: Config) -> Table:
    """The names of official files of that architecture. Raises GenstudioError where none were published."""
    if config.kind not in TABLES:
        raise GenstudioError(
            f"Nobody published files for a {config.kind}.", "Use a folder that genstudio wrote.", Exit.WEIGHTS
        )
    return TABLES[config.kind](config)
