"""Where what is no record of a run lies below the results."""

FIGURES = "figures"
COVERAGE = "coverage.csv"
DESCRIPTIONS = "descriptions"
FAMILIES = "families"  # records that compare them, which would crowd the other tables
BASES = "bases"  # records of runs at d = D, which would crowd them too
GROWTH = "kernels-growth/cpu.json"  # products timed at one D and several d
CHOICES = "choices"  # a folder of records for each choice made otherwise
