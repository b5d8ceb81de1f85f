"""What the user runs: command line, configuration, data sets, the stages and their order, statistics, plots, report."""
