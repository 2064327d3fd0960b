"""What changes outside a connection, and what follows for it."""

import pytest

from exporter.app import _heirs
from exporter.connection.outside import moved
from exporter.model import Access, RedisUrl, Target


@pytest.mark.parametrize(
    ("answers", "where"),
    [
        (["a"], "here"),
        (["ab"], "here"),
        (["ab", "ba"], "here"),
        (["a", "b"], "elsewhere"),
        (["ab", "b"], "here"),
        (["ab", "b", "b"], "here"),
        (["b", "b", "b"], "elsewhere"),
        (["a", "cd"], "elsewhere"),
        (["a", ""], "here"),
        (["b", "a", "b"], "here"),
    ],
)
def test_an_address_is_left_for_a_new_one_at_once_and_for_a_known_one_after_three_answers(
    answers: list[str], where: str
) -> None:
    assert moved("a", [frozenset(answer) for answer in answers]) == (where == "elsewhere")


def test_after_a_reload_the_newest_answer_counts_alone() -> None:
    assert moved("a", [frozenset("ab"), frozenset("b")], at_once=True)
    assert not moved("a", [frozenset("b"), frozenset("ab")], at_once=True)


def _target(name: str, host: str) -> Target:
    return Target(name, Access(RedisUrl(host, 6379)))


@pytest.mark.parametrize(
    ("polled", "wanted", "heirs"),
    [
        ("a@1", "a@1", "a@1"),
        ("a@1", "b@1", "b@1"),
        ("a@1", "a@2", "a@2"),
        ("a@1", "b@2", "-"),
        ("a@1 b@2", "b@1 a@2", "b@1 a@2"),
        ("a@1", "old@1 a@2", "old@1"),
        ("a@1 b@2", "a@2", "- a@2"),
        ("a@1 b@2", "", "- -"),
    ],
)
def test_a_connection_goes_to_the_target_of_its_server_else_of_its_name(
    polled: str, wanted: str, heirs: str
) -> None:
    def targets(text: str) -> list[Target]:
        return [_target(*word.split("@")) for word in text.split()]

    found = _heirs(targets(polled), targets(wanted))
    assert " ".join(f"{t.name}@{t.access.url.host}" if t else "-" for t in found) == heirs
