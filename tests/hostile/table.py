"""Attacks, kind by kind, with a table of how many were held: `nox -s hostile`.

The attacks are tests that stand beside what they attack. This counts them: a kind fails if one of its attacks
is not held, or if there are fewer of them than there should be.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
#: Each kind: how many attacks there are at least, and the tests that make them.
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {
    "provider faults": (
        60,
        (
            "plugins/openai/tests/test_suite.py::TestChat",
            "plugins/openai/tests/test_suite.py::TestResponses",
            "plugins/anthropic/tests/test_provider.py::TestAnthropic",
            "plugins/ollama/tests/test_faults.py",
        ),
    ),
    "redirects of providers": (
        12,
        ("tests/whole/test_gate.py::test_a_request_is_not_sent_on_to_another_host",),
    ),
    "http targets": (
        45,
        (
            "plugins/http/tests/test_targets.py::test_no_target_at_home_is_reached",
            "plugins/http/tests/test_http.py::test_a_redirect_to_a_private_address_is_refused",
        ),
    ),
    "templates": (
        50,
        (
            "plugins/language/tests/test_templates.py::test_a_template_does_not_get_out",
            "plugins/language/tests/test_templates.py::test_a_template_comes_to_an_end",
        ),
    ),
    "expressions": (
        45,
        (
            "plugins/language/tests/test_expressions.py::test_refused",
            "plugins/language/tests/test_expressions.py::test_work_is_bounded",
            "plugins/language/tests/test_expressions.py::test_sizes_are_bounded",
            "plugins/language/tests/test_expressions.py::test_depth_and_length_are_bounded",
        ),
    ),
    "patterns": (
        20,
        (
            "plugins/language/tests/test_patterns.py::test_no_search_takes_for_ever",
            "plugins/language/tests/test_patterns.py::test_what_cannot_be_searched_for_is_refused_with_its_place",
        ),
    ),
    "schemas": (20, ("plugins/language/tests/test_schemas.py::test_no_check_of_a_value_takes_for_ever",)),
    "paths": (
        35,
        (
            "plugins/toolbox/tests/test_paths.py",
            "plugins/http/tests/test_http.py::test_an_agent_cannot_leave_the_path",
            "tests/scenario/test_trust.py::test_what_is_more_than_data_needs_a_yes",
        ),
    ),
    "bundles and stores": (
        40,
        (
            "plugins/bundles/tests/test_bundle.py::test_a_bundle_that_was_made_up_is_refused",
            "plugins/bundles/tests/test_bundle.py::test_a_changed_member_is_noticed",
            "plugins/bundles/tests/test_verify.py::test_damage_to_a_run_is_told",
            "plugins/bundles/tests/test_verify.py::test_damage_to_what_runs_share_is_told",
            "tests/store/test_damage.py",
            "tests/store/test_strangers.py",
        ),
    ),
    "code, secrets and hosts of strangers": (
        40,
        ("tests/whole/test_gate.py", "tests/whole/test_strangers.py", "tests/whole/test_shadows.py"),
    ),
}


def count(tests: tuple[str, ...]) -> tuple[int, int]:
    """How many attacks were held, and how many were not."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-q", "--rootdir", str(ROOT), f"--junitxml={report}", *sys.argv[1:]]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(f"{ROOT}/{test}" for test in tests)], check=False
        )
        suite = ElementTree.parse(report).getroot().find("testsuite")
        assert suite is not None
        failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        return int(suite.get("tests", 0)) - failed - int(suite.get("skipped", 0)), failed


def main() -> int:
    lines, fine = [], True
    for kind, (least, tests) in KINDS.items():
        held, failed = count(tests)
        fine &= not failed and held >= least
        lines.append(f"{kind:38}{held:6}{failed:8}{'' if held >= least else f'   expected {least}'}")
    print(f"\n{'':38}{'held':>6}{'failed':>8}", *lines, sep="\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
