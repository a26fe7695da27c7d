from types import SimpleNamespace

from audit.principals import SYSTEM, Principal, agent, person, persons_behind

ADA = SimpleNamespace(pk=7, get_username=lambda: "ada")


def test_a_person_is_the_only_one_behind_themselves():
    ada = person(ADA)

    assert str(ada) == "user:ada"
    assert ada.via == "session"
    assert persons_behind(ada) == {"7"}


def test_a_person_is_counted_even_if_whoever_made_the_principal_forgot_it():
    assert persons_behind(Principal("user", "ada", id="7", persons=frozenset({"9"}))) == {"7", "9"}


def test_an_agent_speaks_for_the_people_it_works_for():
    ernest = agent("ernest", key="3", on_behalf_of="user:ada", persons=frozenset({"7"}))

    assert str(ernest) == "agent:ernest"
    assert persons_behind(ernest) == {"7"}


def test_an_agents_own_key_is_no_person():
    assert persons_behind(agent("ernest", key="7")) == frozenset()


def test_nobody_is_behind_the_system():
    assert persons_behind(SYSTEM) == frozenset()
