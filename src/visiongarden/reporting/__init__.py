"""Result files, plots and reports."""

from visiongarden.reporting.plots import plot_history
from visiongarden.reporting.result_files import (
    FileResults,
    predict_files,
    predict_folder,
    write_png,
)

__all__ = ["FileResults", "plot_history", "predict_files", "predict_folder", "write_png"]
