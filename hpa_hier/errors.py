"""The one exception that a user's mistake ends in."""


class UserError(Exception):
    """Something the user can fix: a file, a setting, an argument.

    The message is one or two lines and says where, what is wrong, what was got and what to do:
    ``hierarchy/hpa28.yaml:14: label 7 belongs to both 'Golgi apparatus' and 'Vesicles'; give one another label``.
    Commands print it without a traceback and exit with status 2.
    """
