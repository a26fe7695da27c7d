"""Prove the ledger, or one entry of it."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.core.canonical import parse
from audit.core.proof import Proof, check_proof
from audit.core.refusals import Refused
from audit.keys import ring
from audit.models import AuditEvent
from audit.present import sentence
from audit.sealing import proof_of, verify


class Command(BaseCommand):
    """Check the whole ledger; or make, or check, the proof of one entry. Fails if anything is wrong."""

    help = "Verify the whole ledger, or one entry with its proof. Ends with status 1 if anything is wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--entry", type=int, metavar="POSITION", help="prove the entry at this position")
        which.add_argument("--event", type=int, metavar="ID", help="prove the entry with this id")
        proof_help = "where to write the proof of --entry or --event; without them: check the proof in this file"
        parser.add_argument("--proof", type=Path, metavar="FILE", help=proof_help)
        parser.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["entry"] is not None or options["event"] is not None:
            self._prove(options)
        elif options["proof"]:
            self._check(options["proof"], as_json=options["json"])
        else:
            self._verify(as_json=options["json"])

    def _verify(self, *, as_json: bool) -> None:
        result = verify()
        if as_json:
            self.stdout.write(json.dumps(result.as_json(), indent=2))
        else:
            self.stdout.write(f"{result.sentence} ({result.duration_s:.1f} s)")
            for finding in result.findings:
                self.stdout.write(f"  {finding.kind.value}: {finding.message}")
            if unnamed := sum(result.counts.values()) - len(result.findings):
                self.stdout.write(f"  … and {unnamed:,} more")
        if not result.is_whole:
            raise CommandError("the ledger is not whole")

    def _prove(self, options: dict[str, Any]) -> None:
        entries = AuditEvent.objects.all()
        by_position = options["entry"] is not None
        event = (
            entries.filter(position=options["entry"]) if by_position else entries.filter(pk=options["event"])
        ).first()
        if event is None:
            raise CommandError("there is no such entry")
        try:
            proof = proof_of(event)
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        document = json.dumps(proof.as_json(), indent=2)
        if options["proof"]:
            options["proof"].write_text(document + "\n")
        if options["json"]:
            self.stdout.write(document)
        else:
            self.stdout.write(f"{event.position}: {sentence(event)}")
        self._conclude(proof, as_json=options["json"])

    def _check(self, path: Path, *, as_json: bool) -> None:
        try:
            proof = Proof.from_json(parse(path.read_bytes()))
        except OSError as error:
            raise CommandError(f"the proof cannot be read: {error}") from None
        except Refused as refusal:
            raise CommandError(str(refusal)) from None
        self._conclude(proof, as_json=as_json)

    def _conclude(self, proof: Proof, *, as_json: bool) -> None:
        try:
            wrong = check_proof(proof, lambda kid, data, signature: ring().verify("seal", kid, data, signature))
        except Refused as refusal:
            wrong = str(refusal)
        if wrong:
            raise CommandError(f"not proven: {wrong}")
        if not as_json:
            self.stdout.write(
                f"Proven: entry {proof.position} is in the log of {proof.newest.tree_size:,} entries whose root is "
                f"{proof.newest.root.hex()}, signed with {proof.newest.kid}."
            )
