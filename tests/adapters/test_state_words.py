"""Words for states select what the dialect shows so, over HTTP in both profiles and on the command line."""

from __future__ import annotations

import itertools
from urllib.parse import quote

from jobstate import State
from jobstate.cli.session import USAGE
from jobstate.wire.states import Dialect
from tests.adapters.conftest import Api, Shell
from tests.adapters.expectations import NO_WORDS, known_words, spellings, wanted
from tests.adapters.jobs_in_states import one_per_state


def listed(api: Api, word: str) -> frozenset[State]:
    answer = api.ask("GET", f"/jobs?status={quote(word)}")
    assert answer.status == 200, answer.text
    found = [State(job["state"]) for job in answer.json["jobs"]]
    assert len(found) == len(set(found))
    return frozenset(found)


def test_each_filter_word_selects_its_jobs_however_it_is_spelled(api: Api) -> None:
    one_per_state(api.store)
    for word in known_words(api.dialect):
        for spelling in spellings(word):
            assert listed(api, spelling) == wanted(word, api.dialect), spelling


def test_filter_words_combine_by_union_in_any_order(api: Api) -> None:
    one_per_state(api.store)
    for first, second in itertools.pairwise(known_words(api.dialect)):
        union = wanted(first, api.dialect) | wanted(second, api.dialect)
        assert listed(api, f"{first},{second}") == listed(api, f"{second},{first}") == union
    assert listed(api, ",".join(reversed(State))) == frozenset(State)
    assert listed(api, "completed, failed ,COMPLETED") == wanted("completed", api.dialect) | wanted(
        "error", api.dialect
    )


def test_without_a_word_the_active_jobs_are_listed(api: Api) -> None:
    one_per_state(api.store)
    states = {State(job["state"]) for job in api.ask("GET", "/jobs").json["jobs"]}
    assert states == wanted("active", api.dialect)


def test_an_unknown_or_empty_filter_word_is_refused_by_name_not_an_empty_list(api: Api) -> None:
    for word in NO_WORDS:
        answer = api.ask("GET", f"/jobs?status={quote(word)}")
        assert (answer.status, answer.json["error_code"]) == (400, "INVALID_QUERY_PARAMETERS"), word
        assert answer.json["error_message"].startswith("status: has no word ")


def test_the_command_line_lists_by_each_word_and_refuses_others(shell: Shell) -> None:
    for word in known_words(Dialect.AMPCTL):
        for spelling in spellings(word):
            states = {State(job["state"]) for job in shell.json("list", "-s", spelling)["jobs"]}
            assert states == wanted(word, Dialect.AMPCTL), spelling
    for word in NO_WORDS:
        assert "has no word" in shell("list", "-s", word, code=USAGE).stderr, word
