"""Rules that rename what tenants choose: patterns by RE2, which reads any text in linear time, and templates.

Python's own expressions need time that doubles with each character of an unlucky name.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from exporter.limits import LABEL_CHARACTERS, PATTERN_BYTES, PATTERN_STEPS
from exporter.model import Rename

Rewrite = Callable[[str], str | None]

_REFERENCE = re.compile(r"\\(?:([1-9][0-9]*)|g<([A-Za-z_0-9]+)>)")
_ENDLESS = re.compile(r"(?<!\\)\{[0-9]{0,9},?[0-9]{8}")  # RE2 would take it for a text
_NO_REFERENCES = "RE2 knows no references to groups here: write out what is repeated"
# How RE2's complaints begin about what Python's expressions know, and what to write instead.
_INSTEAD = (
    (
        r"invalid perl operator: \(\?<?[=!]",
        "RE2 does not look ahead or behind: write ( ) around what is to be kept, and \\1 in to:",
    ),
    (r"invalid perl operator: \(\?P", _NO_REFERENCES),
    (r"invalid perl operator: \(\?>", "RE2 needs no atomic groups: write (?: )"),
    (r"invalid perl operator: \(\?\(", "RE2 knows no conditions: write a rule for each case"),
    (r"invalid perl operator: \(\?", "RE2 knows the flags i, m, s and U, and no comments"),
    (r"invalid escape sequence: \\[0-9]", _NO_REFERENCES),
    (r"invalid escape sequence: \\Z", "write \\z for the end"),
    (r"invalid escape sequence: \\[uUN]", "write \\x{41}, or the character itself"),
    (r"bad repetition operator: .\+$", "RE2 needs no possessive quantifiers: leave the second + out"),
    (r"invalid repetition size", "write at most 1000, also where one repetition stands in another"),
    (r"pattern too large", "write a shorter one, with smaller numbers in { }"),
)
_EXAMPLE = "write one such as '^Sidekiq.*', in single quotes"


class PatternError(ValueError):
    """A rule cannot be used; the text says what is wrong and what to write instead."""


def compile_rule(pattern: str, template: str) -> Rewrite:
    r"""Make what a rule does: a text in which the pattern is found becomes the template, any other None.

    In the template, `\1`, `\g<1>` and `\g<name>` are what groups matched.

    Raises:
        PatternError: RE2 cannot read the pattern, or the template names no group of it.

    """
    import re2  # noqa: PLC0415  3 MB of memory, for those who have rules

    if _ENDLESS.search(pattern):
        raise PatternError(_refusal("invalid repetition size"))
    options = re2.Options()
    options.log_errors, options.max_mem = False, PATTERN_BYTES
    try:
        expression = re2.compile(pattern, options)
    except re2.error as error:
        raise PatternError(_refusal(error.args[0].decode(errors="replace"))) from None
    except UnicodeEncodeError:
        raise PatternError(f"not a regular expression (half a character): {_EXAMPLE}") from None
    if expression.programsize > PATTERN_STEPS:
        raise PatternError(_refusal("pattern too large"))
    pieces = _pieces(template, expression.groups, expression.groupindex)

    def rewrite(text: str) -> str | None:
        found = expression.search(text)
        if found is None:
            return None
        return "".join(each if isinstance(each, str) else found[each] or "" for each in pieces)[
            :LABEL_CHARACTERS
        ]

    return rewrite


def compile_rules(rules: Iterable[Rename]) -> tuple[Rewrite, ...]:
    """Make what each of some rules does; settings hold only such as can be used."""
    return tuple(compile_rule(rule.match, rule.to) for rule in rules)


def renamed(rewrites: Sequence[Rewrite], text: str) -> str | None:
    """What the first rule that matches makes of a text; None where none does."""
    for rewrite in rewrites:
        found = rewrite(text)
        if found is not None:
            return found
    return None


def _refusal(reason: str) -> str:
    instead = next((text for beginning, text in _INSTEAD if re.match(beginning, reason)), _EXAMPLE)
    return f"not a regular expression of RE2 ({reason}): {instead}"


def _pieces(template: str, groups: int, names: dict[str, int]) -> tuple[str | int, ...]:
    """Cut a template into texts, and numbers of groups."""
    pieces: list[str | int] = []
    end = 0
    for found in _REFERENCE.finditer(template):
        pieces += (template[end : found.start()], _group(found[1] or found[2], groups, names))
        end = found.end()
    pieces.append(template[end:])
    if any(isinstance(each, str) and "\\" in each for each in pieces):
        raise PatternError("to: may hold a backslash only before a group of match:, as in \\1 or \\g<name>")
    return tuple(each for each in pieces if each != "")


def _group(told: str, groups: int, names: dict[str, int]) -> int:
    group = int(told) if told.isdecimal() else names.get(told, groups + 1)
    if group > groups:
        raise PatternError(
            "to: names a group that match: does not have: write ( ) around a part of match:, and \\1"
        )
    return group
