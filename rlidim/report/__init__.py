"""Tables and figures from the records alone; needs numpy, scipy and, for figures, matplotlib."""

from rlidim.report.baselines import unmeasured
from rlidim.report.collect import Measurement, gather
from rlidim.report.descriptions import DESCRIPTIONS
from rlidim.report.ladder import plot_ladder
from rlidim.report.overview import describe, list_rows, task_page
from rlidim.report.plot import plot_measurement
from rlidim.report.text import text_table
from rlidim.report.write import write_tables

__all__ = [
    "DESCRIPTIONS",
    "Measurement",
    "describe",
    "gather",
    "list_rows",
    "plot_ladder",
    "plot_measurement",
    "task_page",
    "text_table",
    "unmeasured",
    "write_tables",
]
