"""What models have cost, over the API: summed as asked for, of the runs that the caller sees."""

from decimal import Decimal

import pytest

from gateway.models import LlmCall
from tests.gateway.api.world import run_now
from tests.modelling import ask_model, settle

SPEND = "/v1/models/spend"


def test_what_was_used_is_summed_by_day_agent_model_and_run(world):
    j = world.journey
    j.run = run_now(world.own.run)
    settle(ask_model(j, model="claude-dear", tokens=100), "fail", error={"code": "upstream", "message": "it broke"})
    waiting = ask_model(j)
    dear = LlmCall.objects.get(model="claude-dear")

    def told(**asked):
        answer = world.client("ada").get(SPEND, asked).json()
        return answer["total"], [(line["name"], line["calls"], line["cost_usd"]) for line in answer["items"]]

    total, by_day = told()
    assert (total["calls"], total["unanswered"], total["tokens_in"], total["tokens_out"]) == (3, 1, 100, 20)
    cost = dear.reserved_usd + Decimal("0.003")
    assert (total["cost_usd"], total["reserved_usd"]) == (f"{cost:f}", f"{waiting.reserved_usd:f}")
    assert by_day == [(dear.created_at.date().isoformat(), 3, f"{cost:f}")]
    assert told(by="agent")[1] == [("ernest", 3, f"{cost:f}")]
    assert told(by="model")[1] == [("claude-dear", 1, f"{dear.cost_usd:f}"), ("claude-test", 2, "0.003000")]
    lines = world.client("ada").get(SPEND, {"by": "run"}).json()["items"]
    assert [(line["name"], line["run"]) for line in lines] == [(str(j.run.number), world.own.run)]


def test_what_is_older_is_left_out(world):
    LlmCall.objects.update(created_at="2026-01-01T00:00:00Z")

    answer = world.client("dora").get(SPEND, {"days": 30}).json()

    assert (answer["total"]["calls"], answer["items"]) == (0, [])


def test_who_does_not_see_a_run_does_not_see_what_it_cost(world):
    seen = {name: world.client(name).get(SPEND).json()["total"]["calls"] for name in ("ada", "bob", "dora", "carol")}

    # bob is asked about a call of the run, so that he sees it.
    assert seen == {"ada": 1, "bob": 1, "dora": 1, "carol": 1}
    assert world.client("olga").get(SPEND, {"by": "run"}).json()["items"][0]["run"] == world.own.run
    assert world.client("robot").get(SPEND).json()["total"]["calls"] == 0


@pytest.mark.parametrize("wrong", [{"by": "weather"}, {"days": "0"}, {"days": "-1"}, {"days": "367"}, {"days": "many"}])
def test_what_cannot_be_summed_is_refused(world, wrong):
    answer = world.client("ada").get(SPEND, wrong)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
