"""A planted secret is used by calls that are answered with it, and is then nowhere: no row, log, answer or export."""

import base64
import json
import logging
import os
from pathlib import Path
from urllib.parse import quote

import httpx2
import pytest
from django.db import connection
from rest_framework.test import APIClient

from audit.principals import SYSTEM
from audit.sealing import seal_all
from gateway.actions import create_key
from gateway.connector import all_connectors
from gateway.keys import Scope
from gateway.treasury import secrets
from governance.actions.artifacts import store_artifact
from governance.models import EncryptedPayload, SkillInvocation
from governance.payloads import content_of, open_value
from tests import desk
from tests.gateway.api.world import digest_of_bytes
from tests.gateway.door.visitors import visit
from tests.gateway.treasury.bank import GITHUB_POLICY, equip
from tests.people import use_policy
from tests.wire.github import TOKEN, github_stub

FORMS = {
    TOKEN,
    TOKEN.encode().hex(),
    base64.b64encode(TOKEN.encode()).decode().rstrip("="),
    quote(TOKEN, safe=""),
}


def found_in(text):
    return [form for form in FORMS if form in text]


def every_table():
    """Return every row of every table as text; bytes are read as hex, and once more as they are."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"
        )
        tables = [name for (name,) in cursor.fetchall()]
        rows = {}
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table} t")
            rows[table] = "\n".join(row for (row,) in cursor.fetchall())
    return rows


@pytest.fixture
def told(caplog):
    """Everything that is logged, by anybody, at any level."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx2").setLevel(logging.DEBUG)
    logging.getLogger("httpcore2").setLevel(logging.DEBUG)
    return caplog


def test_a_planted_secret_appears_nowhere_in_clear(housed, door_socket, web, told, monkeypatch, capfd):
    j = housed
    use_policy(j.house.workspace, GITHUB_POLICY)
    monkeypatch.setattr("gateway.tools.all_connectors", lambda: {**all_connectors(), "desk": desk.Desk})
    with github_stub() as github:
        github.echoes = True
        secret, _ = equip(j.house, github.url)
        j.ask("Look at the issue")
        calls = [
            {"call_id": f"c{n}", "skill": "github.get_issue", "input": {"repo": "acme/orders", "number": n}}
            for n in (5, 301)
        ]
        broken = {"call_id": "c9", "skill": "github.list_issues", "input": {"repo": "acme/orders"}}
        j.propose({
            **desk.step("look"), "allowed_skills": ["github.get_issue", "github.list_issues"],
            "instruction": {"kind": "direct", "calls": [*calls, broken]},
        })  # fmt: skip
        ernest = visit(door_socket, j, "look")

        good, bad = ernest.post("/skills", {"call": "c5"}), ernest.post("/skills", {"call": "c301"})
        monkeypatch.setattr("gateway.github.api.GitHub.items", _break)
        worst = ernest.post("/skills", {"call": "c9"})

        # The calls did use it, and it did come back.
        assert len(github.asked) == 2
        assert good.json()["output"]["body"] == "You sent Bearer [masked:secret]"
        assert "[masked:secret]" in bad.json()["detail"] and bad.status_code == 502
        assert worst.status_code in (202, 502) and "connector_broke_its_contract" in told.text
        assert not [text for text in (good.text, bad.text, worst.text) if found_in(text)]
        content = json.dumps(good.json()["output"]).encode()
        store_artifact(j.caller(j.step("look")), name="issue.json", media_type="application/json", content=content,
                       sha256=digest_of_bytes(content))  # fmt: skip
        secrets.rotate_secret(secret.pk, "another-value-of-it", by=j.house.by("olga"), because="yearly")
        ernest.http.close()
    seal_all()

    # Rows: as text in every table, and what the house itself can decrypt of runs.
    assert {table: found for table, text in every_table().items() if (found := found_in(text))} == {}
    opened = [content_of(row).decode("utf-8", "replace") for row in EncryptedPayload.objects.all()]
    for call in SkillInvocation.objects.all():
        opened += [json.dumps(open_value(call.run_id, call, field)) for field in ("input", "output")]
    assert len(opened) > 8 and not [text for text in opened if found_in(text)]
    # Answers and exports.
    _, key = create_key(j.house.workspace, by=SYSTEM, label="a test", scopes=[Scope.ADMIN], user=j.house.olga)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    paths = ["connections", "audit/events", "audit/seals", "openapi.json", "approvals", "skills", "health", "runs"]
    paths += [
        f"runs/1/{name}" for name in ("", "steps", "plan", "gates", "invocations", "artifacts", "burns", "events")
    ]
    answers = [client.get(f"/v1/{path.rstrip('/')}") for path in paths]
    # How well the parts are is not the question here: nothing seals or ticks beside this test.
    assert {answer.status_code for path, answer in zip(paths, answers, strict=True) if path != "health"} == {200}
    assert not [answer for answer in answers if found_in(answer.content.decode())]
    with httpx2.stream(
        "GET", f"{web}/v1/events/stream", headers={"Authorization": f"Bearer {key}", "Last-Event-ID": "1"}
    ) as stream:
        assert stream.status_code == 200
        lines = []
        for line in stream.iter_lines():
            lines.append(line)
            if "artifact.store" in line:
                break
    assert lines and not found_in("\n".join(lines))
    # Logs, what was printed, and the environment of the process.
    printed = capfd.readouterr()
    assert not found_in(told.text + "".join(str(vars(record)) for record in told.records) + printed.out + printed.err)
    assert not found_in(Path("/proc/self/environ").read_text(errors="replace") + str(os.environ))


def _break(self, *args, **kwargs):
    """A connector that breaks its contract, with everything that it was told in its words."""
    raise RuntimeError(f"headers were {self._headers}")
