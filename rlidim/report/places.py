"""Where what is no record of a run lies below the results."""

COVERAGE = "coverage.csv"
DESCRIPTIONS = "descriptions"
FAMILIES = "families"  # records that compare them, which would crowd the other tables
