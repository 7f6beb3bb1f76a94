"""What a command tells its caller when it can't go on: one line, and the exit status that belongs to it."""


def one_line(said: object) -> str:
    """`said`, such as an error, without line breaks or other runs of white space."""
    return " ".join(str(said).split())


class FairleadError(Exception):
    """Something that a person must read. The text is one line: what was wrong, where, what was expected."""

    exit_status = 3


class InputError(FairleadError):
    """Wrong usage or input: a file, an option, a catalogue. Exit status 2."""

    exit_status = 2


class OutsideError(FairleadError):
    """Something outside failed: a server, a disk, a container engine. Exit status 3."""

    exit_status = 3
