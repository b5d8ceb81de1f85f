"""From a run directory to numbers, plots and one page: statistics and report parts that every analysis shares."""
