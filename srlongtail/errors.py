"""The one exception for mistakes that a user can mend."""


class InputError(ValueError):
    """Something the user handed over cannot be used.

    The message is one line that tells what arrived, what was expected and which item was at
    fault. The command line prints it and exits with code 2; in Python it is a `ValueError`.
    """
