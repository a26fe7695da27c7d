"""What models cost, in the console: who sees which calls, what they add up to, and what is never shown."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now

from audit.models import AuditEvent
from gateway.models import LlmCall
from governance.core.prices import Usage
from tests.console import at, console_journey, queries, run_href, visit, words
from tests.desk import step
from tests.modelling import POLICY, answered, ask_model, settle
from tests.people import build_house
from worka_site.portal.wording import dollars

pytestmark = pytest.mark.django_db

PAGE = "/admin/gateway/llmcall/"
TABS = ("day", "agent", "model", "run", "calls")
HOSTILE = "claude-<script>alert(1)</script>\u202e"


@pytest.fixture
def j(monkeypatch):
    return console_journey(monkeypatch, policy=POLICY)


def working(j, who="ada", text="Please"):
    run = j.ask(text, who)
    j.propose(step("look", ("a", "read", "letters")))
    return run


def lines(client, by):
    """Return what a tab says: name, calls, unanswered, tokens in and out, cost."""
    return [
        (
            line.name,
            line.used.calls,
            line.used.unanswered,
            line.used.tokens_in,
            line.used.tokens_out,
            line.used.cost_usd,
        )
        for line in client.get(PAGE, {"by": by}).context["lines"]
    ]


def the_calls(client, **query):
    return client.get(PAGE, {"by": "calls", **query}).context["calls"]


def test_calls_add_up_by_day_agent_model_and_run_and_old_ones_are_left_out(j):
    working(j)
    answered(j, into=100, out=20)
    settle(ask_model(j, model="claude-big"), usage=Usage(10, 5, 40, 50))
    settle(ask_model(j), "fail", Usage(), {"code": "overloaded", "message": "too many ask"})
    old = answered(j)
    LlmCall.objects.filter(pk=old.pk).update(created_at=now() - timedelta(days=20))
    first = j.run.number
    working(j, "dora", "Another")
    answered(j, into=1000, out=0)
    waiting = ask_model(j)
    LlmCall.objects.filter(pk=waiting.pk).update(created_at=now() - timedelta(days=1))
    dora = visit(j.house.dora)
    big = LlmCall.objects.get(model="claude-big").cost_usd
    assert big == Decimal("0.0016")  # 10 in and 50 read at $10, 40 written at $12.50, 5 out at $100 a million

    days, runs = lines(dora, "day"), lines(dora, "run")

    assert [line[1:] for line in days] == [(4, 1, 1200, 25, Decimal("0.0146")), (1, 0, 0, 0, 0)]
    assert lines(dora, "agent") == [("ernest", 5, 1, 1200, 25, Decimal("0.0146"))]
    assert lines(dora, "model") == [
        ("claude-test", 4, 1, 1100, 20, Decimal("0.013")),
        ("claude-big", 1, 0, 100, 5, big),
    ]
    assert runs == [
        (f"Run {j.run.number}", 2, 0, 1000, 0, Decimal("0.01")), (f"Run {first}", 3, 1, 200, 25, Decimal("0.0046")),
    ]  # fmt: skip
    page = dora.get(PAGE)
    assert f"$0.0146 and at most {dollars(waiting.reserved_usd)} for what is being asked" in words(page)
    assert 'aria-labelledby="cost-t"' in page.content.decode()
    assert len(the_calls(dora)) == 6, "the list has the old ones, too"


def test_each_sees_the_calls_of_the_runs_they_see_and_no_others(j):
    working(j)
    own = answered(j)
    working(j, "dora")
    other = answered(j, into=7, out=7)
    everything = {own.pk, other.pk}

    seen = {
        name: {call.pk for call in the_calls(visit(getattr(j.house, name)))}
        for name in ("ada", "bob", "carol", "dora", "olga")
    }
    row = {name: visit(getattr(j.house, name)).get(at("gateway_llmcall_change", other.pk)).status_code for name in seen}

    assert seen == {"ada": {own.pk}, "bob": set(), "carol": everything, "dora": everything, "olga": everything}
    assert row == {"ada": 404, "bob": 404, "carol": 200, "dora": 200, "olga": 200}
    assert lines(visit(j.house.ada), "agent") == [("ernest", 1, 0, 100, 20, Decimal("0.003"))]
    assert visit(j.house.ada).get(PAGE, {"by": "calls", "run": other.run.number}).status_code == 404
    assert visit(j.house.eve).get(PAGE).status_code == 404
    assert PAGE not in visit(j.house.eve).get("/admin/").content.decode()
    assert PAGE in visit(j.house.ada).get("/admin/").content.decode()


def test_nothing_of_another_workspace_is_there_or_counted(j):
    working(j)
    call = answered(j)
    stranger = visit(build_house("zeta").dora)

    assert stranger.get(at("gateway_llmcall_change", call.pk)).status_code == 404
    assert stranger.get(at("gateway_llmcall_change", "nonsense")).status_code == 404
    assert the_calls(stranger) == []
    assert [lines(stranger, by) for by in TABS[:4]] == [[], [], [], []]
    assert stranger.get(PAGE, {"by": "calls", "run": call.run.number}).status_code == 404


def test_pages_ask_the_data_base_as_often_for_many_rows_as_for_few(j, settings):
    settings.WORKA_MAX_JOBS = 50
    working(j)
    answered(j)
    dora, run = visit(j.house.dora), j.run
    pages = [*[f"{PAGE}?by={by}" for by in TABS], f"{PAGE}?by=calls&run={run.number}", run_href(run)]
    counts = []
    for number in range(2):
        if number:
            for each in range(2):
                working(j, "dora", f"Number {each}")
                for model in range(2):
                    answered(j, model=f"claude-{each}-{model}")
        counts.append([])
        for href in pages:
            dora.get(href)
            with queries() as asked:
                dora.get(href)
            counts[-1].append(len(asked))

    assert len(the_calls(dora)) == 5
    assert counts[0] == counts[1]


def test_a_name_that_wants_to_be_markup_is_only_text(j):
    working(j)
    call = answered(j, model=HOSTILE)
    settle(ask_model(j), "fail", error={"code": "upstream", "message": "<b onclick=x>no</b>"})
    dora = visit(j.house.dora)

    for href in (*[f"{PAGE}?by={by}" for by in TABS], at("gateway_llmcall_change", call.pk), run_href(call.run)):
        html = dora.get(href).content.decode()
        assert "<script>alert" not in html and "\u202e" not in html and "<b onclick" not in html, href
    (line,) = [line for line in dora.get(PAGE, {"by": "model"}).context["lines"] if line.name == HOSTILE]
    assert [each.pk for each in the_calls(dora, model=HOSTILE)] == [call.pk]
    assert len(dora.get(f"{PAGE}{line.href[len(PAGE) :]}").context["calls"]) == 1
    for odd in (
        {"by": "<x>"},
        {"by": "calls", "run": "x"},
        {"by": "calls", "agent": "a\0b"},
        {"by": "calls", "model": "é" * 900},
    ):
        assert dora.get(PAGE, odd).status_code == 200, odd
    assert dora.get(PAGE, {"by": "calls", "before": "nonsense"}).status_code in (400, 404)


def test_a_call_shows_what_it_used_and_how_it_ended_and_nothing_of_what_was_said(j):
    working(j)
    good = answered(j, into=1000, out=200)
    lost = settle(ask_model(j), "lose", error={"code": "lost", "message": "who made the call is gone"})
    dora = visit(j.house.dora)

    said = words(dora.get(at("gateway_llmcall_change", good.pk)))
    odd = words(dora.get(at("gateway_llmcall_change", lost.pk)))

    assert (
        f"Run {j.run.number}" in said
        and "Answered" in said
        and "$0.0300" in said
        and "1,000" in said
        and "end_turn" in said
    )
    assert "called the model" in said and "got an answer of the model" in said
    assert "Lost" in odd and "all that was reserved is counted" in odd and "who made the call is gone" in odd
    assert dollars(lost.reserved_usd) in odd
    assert "Good morning" not in said + odd
    assert not AuditEvent.objects.filter(body__contains=b"Good morning").exists()


def test_a_run_says_what_it_asked_of_models_and_leads_to_the_calls(j):
    run = working(j)
    dora = visit(j.house.dora)
    assert "tokens," not in words(dora.get(run_href(run)))
    answered(j)
    answered(j, into=200, out=0)

    page = dora.get(run_href(run))

    (fact,) = [fact for fact in page.context["budgets"] if fact.key == "Models"]
    assert fact.value == "2 calls, 320 tokens, $0.0050 of $10.00"
    there = dora.get(fact.href)
    assert f"Models asked in run {run.number}" in words(there)
    assert len(there.context["calls"]) == 2
    assert "$0.0050" in words(there)


def test_an_empty_page_says_how_a_model_gets_there(j, settings):
    settings.WORKA_MODEL_URL = settings.WORKA_MODEL_KEY = ""
    dora = visit(j.house.dora)

    assert all("docs/how-to/use-a-model.md" in words(dora.get(PAGE, {"by": by})) for by in TABS)
    settings.WORKA_MODEL_URL, settings.WORKA_MODEL = "http://127.0.0.1:1", "claude-small"
    told = words(dora.get(PAGE))

    assert "No model was asked in the last 14 days" in told and "claude-small" in told
    assert "use-a-model" not in told


def test_money_is_written_as_fine_as_it_matters():
    shown = [dollars(Decimal(each)) for each in ("0", "0.000003", "0.0031", "0.09", "0.5", "1234.5")]

    assert shown == ["$0.00", "under $0.0001", "$0.0031", "$0.0900", "$0.50", "$1,234.50"]
