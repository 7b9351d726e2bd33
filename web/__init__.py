"""``ugrn report``: a scored network as one self-contained page to look at.

from ugrn.runtime import load
from ugrn.web.report import write_report
write_report(Path("edges.parquet"), Path("report.html"), load())
"""
