"""What can be wrong with what a user gives, said in one line."""


def one_line(text: object) -> str:
    r"""Writes anything as a single line, each run of white space as one blank.

    >>> one_line("shapes disagree:\n  n\tis 4")
    'shapes disagree: n is 4'
    """
    return " ".join(str(text).split())


class InputError(ValueError):
    """What a user gave cannot be used: a file, a shape, a condition, a certificate.

    The message is one clear line, whatever it was made from, which names the offending part as
    the user wrote it; the command line shows it as it is and exits with 2.  A wrong call by this
    package's own code is not an InputError.
    """

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))
