"""What a run asked of models, over the API: each call with its tokens and cost, for whoever sees the run."""

from gateway.models import LlmCall
from tests.gateway.api.world import run_now
from tests.modelling import ask_model, settle


def test_the_calls_of_a_run_are_told_with_what_they_cost_and_nothing_of_what_was_said(world):
    j = world.journey
    j.run = run_now(world.own.run)
    failed = settle(ask_model(j), "fail", error={"code": "upstream", "message": "it broke"})
    address = f"/v1/runs/{world.own.run}/model-calls"

    told = world.client("ada").get(address)
    newest, first = told.json()["items"]

    assert told.json()["next_cursor"] is None
    assert (newest["id"], newest["state"], newest["error"]["code"]) == (str(failed.pk), "failed", "upstream")
    assert newest["cost_usd"] == newest["reserved_usd"] == str(failed.reserved_usd)
    known = LlmCall.objects.get(pk=first["id"])
    assert (first["run"], first["step"], first["gate"]) == (world.own.run, str(known.step_id), str(known.gate_id))
    assert (first["agent"], first["model"], first["provider"]) == ("ernest", "claude-test", "anthropic")
    assert (first["input_tokens"], first["output_tokens"], first["cost_usd"]) == (100, 20, "0.003000")
    assert b"Good morning" not in told.content


def test_who_does_not_see_a_run_does_not_see_what_it_asked(world):
    told = {
        name: world.client(name).get(f"/v1/runs/{world.own.quiet}/model-calls").status_code
        for name in ("ada", "bob", "dora", "carol", "vic")
    }

    assert told == {"ada": 404, "bob": 404, "dora": 200, "carol": 200, "vic": 200}
    assert world.client("dora").get(f"/v1/runs/{world.own.quiet}/model-calls").json()["items"] == [], "it asked none"
