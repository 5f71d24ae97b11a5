"""The one exception that a user's mistake ends in."""


class UserError(Exception):
    """Something the user can fix: a file, a setting, an argument.

    The message is one or two lines and says where, what is wrong, what was got and what to do:
    ``hierarchy/hpa28.yaml:14: label 7 belongs to both 'Golgi apparatus' and 'Vesicles'; give one another label``.
    Commands print it without a traceback and exit with status 2.
    """

    def __init__(self, line: str, *more: str) -> None:
        r"""Take the message by its lines; a line end inside one, as of a file's name, is shown as `\n`.

        >>> print(UserError("a\nb.yaml: no such file; run", "hpa-hier demo"))
        a\nb.yaml: no such file; run
        hpa-hier demo
        """
        super().__init__(line, *more)

    def __str__(self) -> str:
        return "\n".join(map(one_line, self.args))


def one_line(text: object) -> str:
    """Return text with its line ends as escapes."""
    return str(text).replace("\n", "\\n")
