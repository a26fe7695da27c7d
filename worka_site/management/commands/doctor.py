"""Say what is missing or weak on this machine, and how to mend it."""

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from worka_site.diagnosis import Finding, Level, diagnose

SIGNS = {Level.GOOD: "✓", Level.WEAK: "!", Level.BAD: "✗"}


class Command(BaseCommand):
    """Examine this machine; exit code 1 when something is bad."""

    help = "Say what is missing or weak here (sandbox, limits, keys, disk, clock, data base, port), and how to mend it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print every finding."""
        findings = []
        for finding in diagnose():
            findings.append(finding)
            if not options["json"]:
                self._print(finding)
        bad = sum(finding.level is Level.BAD for finding in findings)
        weak = sum(finding.level is Level.WEAK for finding in findings)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            self.stdout.write(f"\n{bad} bad, {weak} weak, {len(findings) - bad - weak} good")
        if bad:
            raise SystemExit(1)

    def _print(self, finding: Finding) -> None:
        style = {Level.GOOD: self.style.SUCCESS, Level.WEAK: self.style.WARNING, Level.BAD: self.style.ERROR}[
            finding.level
        ]
        self.stdout.write(f"{style(SIGNS[finding.level])} {finding.about:<18} {finding.says}")
        if finding.mend and finding.level is not Level.GOOD:
            self.stdout.write(f"  {'':<18} → {finding.mend}")
