"""A manifest with a mistake is refused, with every mistake at its line and column."""

import pytest

from audit.core.refusals import Refused
from governance.core import manifest, source
from governance.core.manifest import compile_manifest
from governance.core.source import MAX_CHARACTERS, MAX_FAULTS
from tests.core.policy.samples import HEAD, HEAD_LINES, compiled, faults_of

AGENTS = "agents: {ernest: {actions: [skill.invoke], skills: ['*']}}\n"
START = "version: 1\n" + AGENTS
LINE = START.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [("1:1", "wrong_type")]),
        ("# only a comment\n", [("1:1", "wrong_type")]),
        ("[]", [("1:1", "wrong_type")]),
        ("hello", [("1:1", "wrong_type")]),
        ("version: 1\n", [("1:1", "missing_key")]),
        (AGENTS, [("1:1", "missing_key")]),
        ("version: 2\n" + AGENTS, [("1:10", "out_of_range")]),
        ("version: '1'\n" + AGENTS, [("1:10", "wrong_type")]),
        ("version: true\n" + AGENTS, [("1:10", "wrong_type")]),
        (START + "rulez: []\n", [("3:1", "unknown_key")]),
        (START + "version: 1\n", [("3:1", "duplicate_key")]),
        (START + "1: x\n", [("3:1", "wrong_type")]),
        (START + "on: x\n", [("3:1", "wrong_type")]),
        (START + "? [a]\n: b\n", [("3:3", "wrong_type")]),
        (START + "redact: [email\n", [("4:1", "syntax")]),
        (START + "redact: '\n", [("4:1", "syntax")]),
        (START + "redact: \tx: y\n", [("3:9", "syntax")]),
        (START + "redact: a\x07b\n", [("3:10", "syntax")]),
        (START + "---\nversion: 1\n", [("3:1", "syntax")]),
        (START + "redact: &a [email]\n", [("3:9", "alias")]),
        (START + "redact: *a\n", [("3:9", "alias")]),
        (START + "redact: !!python/object/apply:os.system [id]\n", [("3:9", "tag")]),
        (START + "redact: !!str email\n", [("3:9", "tag")]),
        (START + "<<: {redact: [email]}\n", [("3:1", "wrong_type")]),
        (START + "redact: " + "[" * 13 + "]" * 13 + "\n", [("3:20", "too_deep")]),
        (START + "redact: [sms]\n", [("3:10", "unknown_masker")]),
        (START + "redact: []\n", [("3:9", "out_of_range")]),
        (START + 'redact: ["e\\u0000mail"]\n', [("3:10", "bad_value")]),
        (START + 'redact: ["\\ud800"]\n', [("3:10", "bad_value")]),
        (START + "redact: [" + "x" * 1001 + "]\n", [("3:10", "too_large")]),
    ],
)
def test_what_is_not_a_manifest_is_refused_where_it_is_wrong(text: str, expected: list[tuple[str, str]]):
    found = faults_of(text)

    assert [fault for fault in found if fault in expected] == expected
    assert {place for place, _ in found} == {place for place, _ in expected}


@pytest.mark.parametrize(
    "value", ["yes", "010", "0x1F", "1_000", "1:30", "2026-11-20", "1.", ".inf", ".nan", "99999999999999999999", "="]
)
def test_what_yaml_reads_in_surprising_ways_must_be_quoted(value: str):
    rule = "rules: [{{deny: {{skill: git.log, when: {{args.repository: {{eq: {}}}}}}}}}]\n"

    assert faults_of(START + rule.format(value)) == [(f"3:{len(rule.format('')) - 5}", "wrong_type")]
    assert compiled(START + rule.format(f"'{value}'")).rules


@pytest.mark.parametrize(
    ("agents", "expected"),
    [
        ("agents: []\n", ("2:9", "wrong_type")),
        ("agents:\n", ("2:8", "wrong_type")),
        ("agents: {earnest: {actions: [context.read]}}\n", ("2:10", "unknown_agent")),
        ("agents: {ernest: {}}\n", ("2:18", "missing_key")),
        ("agents: {ernest: []}\n", ("2:18", "wrong_type")),
        ("agents: {ernest: {actions: []}}\n", ("2:28", "out_of_range")),
        ("agents: {ernest: {actions: [context.write]}}\n", ("2:29", "unknown_action")),
        ("agents: {ernest: {actions: ['contexts.*']}}\n", ("2:29", "unknown_action")),
        ("agents: {ernest: {actions: [1]}}\n", ("2:29", "wrong_type")),
        ("agents: {ernest: {actions: ['']}}\n", ("2:29", "wrong_type")),
        ("agents: {ernest: {actions: [skill.invoke], skills: [git.push]}}\n", ("2:53", "unknown_skill")),
        ("agents: {ernest: {actions: [llm.call], models: 5}}\n", ("2:48", "wrong_type")),
        ("agents: {ernest: {actions: [llm.call], modles: [x]}}\n", ("2:40", "unknown_key")),
        ("agents: {ernest: {actions: [llm.call], actions: [llm.call]}}\n", ("2:40", "duplicate_key")),
    ],
)
def test_a_wrong_entry_is_refused(agents: str, expected: tuple[str, str]):
    assert expected in faults_of("version: 1\n" + agents)


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("rules: {}", ("3:8", "wrong_type")),
        ("rules: [deny]", ("3:9", "wrong_type")),
        ("rules: [{}]", ("3:9", "wrong_type")),
        ("rules: [{deny: {}, hold: {}}]", ("3:9", "wrong_type")),
        ("rules: [{forbid: {}}]", ("3:10", "unknown_rule")),
        ("rules: [{deny: git.log}]", ("3:16", "wrong_type")),
        ("rules: [{deny: {skills: git.log}}]", ("3:17", "unknown_key")),
        ("rules: [{deny: {skill: git.push}}]", ("3:24", "unknown_skill")),
        ("rules: [{deny: {agent: [ernest, bert]}}]", ("3:33", "unknown_agent")),
        ("rules: [{deny: {side_effect: writes}}]", ("3:30", "unknown_side_effect")),
        ("rules: [{deny: {labels: private}}]", ("3:25", "unknown_label")),
        ("rules: [{deny: {taint: sends_outside}}]", ("3:24", "unknown_taint")),
        ("rules: [{deny: {tainted: false}}]", ("3:26", "wrong_type")),
        ("rules: [{deny: {because: 5}}]", ("3:26", "wrong_type")),
        ("rules: [{deny: {skill: git.log, model: x}}]", ("3:10", "contradiction")),
        ("rules: [{deny: {skill: git.log, action: llm.call}}]", ("3:10", "contradiction")),
        ("rules: [{hold: {skill: git.log}}]", ("3:10", "contradiction")),
        ("rules: [{hold: {action: llm.call, ask: operators}}]", ("3:10", "contradiction")),
        ("rules: [{hold: {ask: operators, thresholds: [{ask: operators}]}}]", ("3:45", "contradiction")),
        ("rules: [{hold: {quorum: 2, thresholds: [{ask: operators}]}}]", ("3:40", "contradiction")),
        ("rules: [{hold: {ask: nobody}}]", ("3:22", "unknown_group")),
        ("rules: [{hold: {ask: }}]", ("3:21", "wrong_type")),
        ("rules: [{hold: {thresholds: [{ask: ~}]}}]", ("3:36", "wrong_type")),
        ("rules: [{hold: {ask: operators, quorum: 0}}]", ("3:41", "out_of_range")),
        ("rules: [{hold: {ask: operators, quorum: '2'}}]", ("3:41", "wrong_type")),
        ("rules: [{hold: {ask: operators, quorum: true}}]", ("3:41", "wrong_type")),
        ("rules: [{hold: {ask: operators, expires: 4}}]", ("3:42", "wrong_type")),
        ("rules: [{hold: {ask: operators, expires: '4'}}]", ("3:42", "wrong_type")),
        ("rules: [{hold: {ask: operators, expires: 4 hours}}]", ("3:42", "wrong_type")),
        ("rules: [{hold: {ask: operators, expires: 0s}}]", ("3:42", "out_of_range")),
        ("rules: [{hold: {ask: operators, expires: 366d}}]", ("3:42", "out_of_range")),
        ("rules: [{hold: {thresholds: [{approve: 2}]}}]", ("3:30", "missing_key")),
        ("rules: [{hold: {thresholds: [{ask: operators, reject: 0}]}}]", ("3:55", "out_of_range")),
        ("rules: [{hold: {thresholds: [{ask: operators}, {ask: operators}]}}]", ("3:29", "bad_value")),
        ("rules: [{hold: {thresholds: []}}]", ("3:29", "out_of_range")),
    ],
)
def test_a_wrong_rule_is_refused(rules: str, expected: tuple[str, str]):
    assert expected in faults_of(START + rules + "\n")


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("[]", (0, "wrong_type")),
        ("{}", (0, "wrong_type")),
        ("{args.repository: x}", (18, "wrong_type")),
        ("{args.repository: {}}", (18, "wrong_type")),
        ("{args.repository: {is: x}}", (19, "unknown_operator")),
        ("{args.repository: {eq: [x]}}", (23, "wrong_type")),
        ("{args.repository: {eq: {a: b}}}", (23, "wrong_type")),
        ("{args.repository: {eq: ~}}", (23, "wrong_type")),
        ("{args.repository: {in: []}}", (23, "out_of_range")),
        ("{args.repository: {in: [[x]]}}", (24, "wrong_type")),
        ("{args.repository: {glob: 5}}", (25, "wrong_type")),
        ("{args.repository: {starts_with: ['']}}", (33, "wrong_type")),
        ("{args.repository: {lt: many}}", (23, "wrong_type")),
        ("{args.repository: {lt: true}}", (23, "wrong_type")),
        ("{args.repository: {lt: ~}}", (23, "wrong_type")),
        ("{args.repository: {exists: maybe}}", (27, "wrong_type")),
        ("{args.repository: {exists: false, eq: x}}", (18, "bad_value")),
        ("{args.repository: {cidr: 10.0.0.1/8}}", (25, "wrong_type")),
        ("{args.repository: {cidr: [nowhere]}}", (26, "wrong_type")),
        ("{args.repository: {cidr: [5]}}", (26, "wrong_type")),
        ("{repository: {eq: x}}", (1, "unknown_field")),
        ("{args: {eq: x}}", (1, "unknown_field")),
        ("{args.: {eq: x}}", (1, "unknown_field")),
        ("{args.branch: {eq: x}}", (1, "unknown_field")),
        ("{args.branch: {exists: true}}", (1, "unknown_field")),
        ("{args.repository.name: {eq: x}}", (1, "unknown_field")),
        ("{labels: {eq: x}}", (10, "bad_value")),
        ("{requester: {has: x}}", (13, "bad_value")),
        ("{requester: {exists: true}}", (13, "bad_value")),
    ],
)
def test_a_wrong_condition_is_refused(when: str, expected: tuple[int, str]):
    before = "rules: [{deny: {skill: git.log, when: "

    assert (f"3:{len(before) + expected[0] + 1}", expected[1]) in faults_of(START + before + when + "}}]\n")


def test_a_field_that_some_skills_of_a_pattern_lack_is_a_fault_that_names_them():
    rule = "rules:\n  - deny: {skill: 'files.*', when: {args.path: {glob: '*.sh'}}}\n"

    with pytest.raises(Refused) as caught:
        compiled(HEAD + rule)

    (fault,) = caught.value.faults
    assert fault.path == f"{HEAD_LINES + 2}:37"
    assert fault.code == "unknown_field"
    assert fault.message == "files.list has no field path; name other skills, or add `exists: true`"


def test_with_exists_a_rule_is_silent_about_skills_that_lack_the_field_and_one_must_have_it():
    assert compiled(
        HEAD + "rules:\n  - deny: {skill: 'files.*', when: {args.path: {exists: true, glob: '*.sh'}}}\n"
    ).rules
    assert faults_of(HEAD + "rules:\n  - deny: {skill: 'files.*', when: {args.repository: {exists: true}}}\n") == [
        (f"{HEAD_LINES + 2}:37", "unknown_field")
    ]


def test_a_condition_without_a_skill_is_checked_against_every_skill_in_reach():
    rule = "rules:\n  - deny: {%s when: {args.path: {eq: x}}}\n"

    assert faults_of(HEAD + rule % "") == [(f"{HEAD_LINES + 2}:20", "unknown_field")]
    assert compiled(HEAD + rule % "side_effect: write,").rules


def test_every_fault_is_named_at_once_in_the_order_of_the_text():
    text = """version: 3
agents:
  ernest: {actions: [fly], skills: [git.push]}
  bert: {actions: [context.read]}
rules:
  - deny: {skill: git.log, when: {args.branch: {eq: x}}, colour: red}
  - deny: {skill: git.log, when: {args.branch: {eq: x}}}
  - hold: {ask: nobody, expires: soon}
limits:
  run: {usd: 10, speed: 3}
approvals:
  plan: {ask: operators, thresholds: [{ask: operators}]}
  later: {}
redact: [email, sms]
"""
    expected = [
        ("1:10", "out_of_range"), ("3:22", "unknown_action"), ("3:37", "unknown_skill"), ("4:3", "unknown_agent"),
        ("6:58", "unknown_key"), ("7:35", "unknown_field"), ("8:17", "unknown_group"), ("8:34", "wrong_type"),
        ("10:14", "wrong_type"), ("10:18", "unknown_key"), ("12:3", "contradiction"), ("13:3", "unknown_key"),
        ("14:17", "unknown_masker"),
    ]  # fmt: skip

    assert faults_of(text) == expected
    with pytest.raises(Refused, match=r"^the manifest is not valid: line 1: .* \(and 12 more\)$"):
        compiled(text)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("[]", ("3:9", "wrong_type")),
        ("{day: {}}", ("3:10", "unknown_key")),
        ("{plan: {steps: 0}}", ("3:24", "out_of_range")),
        ("{plan: {steps: 201}}", ("3:24", "out_of_range")),
        ("{plan: {steps: 2.5}}", ("3:24", "wrong_type")),
        ("{run: {wall_clock: 2}}", ("3:28", "wrong_type")),
        ("{run: {wall_clock: 31d}}", ("3:28", "out_of_range")),
        ("{run: {usd: 10}}", ("3:21", "wrong_type")),
        ("{run: {usd: '-1'}}", ("3:21", "wrong_type")),
        ("{run: {usd: '1e3'}}", ("3:21", "wrong_type")),
        ("{run: {usd: '100001'}}", ("3:21", "out_of_range")),
        ("{step: {backoff: 2h}}", ("3:26", "out_of_range")),
    ],
)
def test_a_wrong_limit_is_refused(limits: str, expected: tuple[str, str]):
    assert faults_of(START + f"limits: {limits}\n") == [expected]


@pytest.mark.parametrize(
    ("approvals", "expected"),
    [
        ("{plan: {}}", ("3:13", "contradiction")),
        ("{plan: {quorum: 2}}", ("3:13", "contradiction")),
        ("{plan: {thresholds: [{ask: operators}], quorum: 2}}", ("3:13", "contradiction")),
        ("{plan: {ask: nobody}}", ("3:25", "unknown_group")),
        ("{plan: {ask: operators, when: {}}}", ("3:42", "wrong_type")),
        ("{plan: {ask: operators, when: {side_effect: write}}}", ("3:43", "unknown_key")),
        ("{plan: {ask: operators, when: {any_skill: git.push}}}", ("3:54", "unknown_skill")),
        ("{repeat: {ask: operators, when: {any_source: api}}}", ("3:38", "unknown_key")),
    ],
)
def test_a_wrong_approval_is_refused(approvals: str, expected: tuple[str, str]):
    assert expected in faults_of(START + f"approvals: {approvals}\n")


def test_size_is_bounded(monkeypatch):
    assert faults_of(" " * (MAX_CHARACTERS + 1)) == [("1:1", "too_large")]
    monkeypatch.setattr(manifest, "MAX_RULES", 3)
    assert faults_of(START + "rules: [{deny: {}}, {deny: {}}, {deny: {}}, {forbid: {}}]\n") == [("3:8", "too_large")]
    monkeypatch.setattr(source, "MAX_NODES", 30)
    assert faults_of(START + "redact: [" + "[]," * 30 + "]\n") == [("3:55", "too_large")]
    monkeypatch.undo()
    many = ", ".join(["a"] * 1001)
    assert (f"{LINE}:66", "out_of_range") in faults_of(
        START + "rules: [{deny: {skill: git.log, when: {args.repository: {not_in: [" + many + "]}}}}]\n"
    )


def test_a_bomb_of_aliases_is_never_opened():
    bomb = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
    )

    assert faults_of(bomb) == [("1:4", "alias")]


def test_no_more_faults_are_kept_than_somebody_reads():
    assert (
        len(faults_of("version: 1\n" + "".join(f"key{number}: 1\n" for number in range(MAX_FAULTS + 50)))) == MAX_FAULTS
    )


def test_an_unknown_layer_is_a_mistake_of_the_program():
    with pytest.raises(ValueError, match="is not a layer"):
        compile_manifest(START, layer="galaxy", skills={}, agents=(), groups=())
