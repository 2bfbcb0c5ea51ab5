"""Options of the program itself may stand anywhere on the line; its parser wants them first."""

from __future__ import annotations

from collections.abc import Sequence

WITH_A_VALUE = ("--envs", "--results")
LAST = "--json"  # of the commands that have it; before the command, it is meant for that one


def ordered(arguments: Sequence[str]) -> list[str]:
    """Return the words of a command line with the program's own options first.

    What stands behind ``--`` stays as it is. An option whose value is missing is returned alone:
    the parser says so, where behind a command it would suggest another option.

    Example:
        >>> ordered(["cartpole", "measure", "--results", "new", "--seeds", "2"])
        ['--results', 'new', 'cartpole', 'measure', '--seeds', '2']
        >>> ordered(["--json", "list"])
        ['list', '--json']
        >>> ordered(["cartpole", "measure", "--results"])
        ['--results']
    """
    words, end = list(arguments), []
    if "--" in words:
        cut = words.index("--")
        words, end = words[:cut], words[cut:]
    first: list[str] = []
    rest: list[str] = []
    while words:
        word = words.pop(0)
        if word in WITH_A_VALUE:
            if not words:
                return [word]
            first += [word, words.pop(0)]
        elif "=" in word and word.partition("=")[0] in WITH_A_VALUE:
            first.append(word)
        else:
            rest.append(word)
    if rest[:1] == [LAST]:
        rest = [*rest[1:], LAST]
    return [*first, *rest, *end]


def without_own_options(words: Sequence[str]) -> list[str]:
    """Return an ordered command line from its command on.

    Example:
        >>> without_own_options(["--results", "train", "cartpole", "measure"])
        ['cartpole', 'measure']
    """
    rest = list(words)
    while rest and rest[0].partition("=")[0] in WITH_A_VALUE:
        rest = rest[1 if "=" in rest[0] else 2 :]
    return rest
