"""What a person who runs a benchmark may get wrong, or lack."""


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says what to change."""


class MalformedData(BenchmarkError):
    """A data file does not follow the BEIR layout; the message names file and line."""


class Absent(BenchmarkError):
    """A peer is not installed here: its arm is skipped by name, the others run."""
