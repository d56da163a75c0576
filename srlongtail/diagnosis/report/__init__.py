"""The report: one page on what networks are, where they fail, and what their numbers mean."""
