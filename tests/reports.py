"""What tests of benchmarks' reports have in common."""


def systems_in(rows, **where):
    """Return the systems of those rows that have some values."""
    return {row["system"] for row in rows if "system" in row and where.items() <= row.items()}
