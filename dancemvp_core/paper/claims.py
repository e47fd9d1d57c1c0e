"""Verdicts on claims, from the results of this run and from fixed numbers.

``claims.yaml`` lists the claims. A claim has one of three sources: a sentence in a section of the paper ("text"), a table or
figure with its caption and what is read off it ("numbers"), or the authors' released code ("code", ``released``). What the
released files do is not evidence of how the paper's numbers were made, because the files may differ from what was run.

A rule (``rules``) reads result files and finds that a claim holds, does not hold, or stays open. A calculation
(``arithmetic``) checks the claim with the numbers that the paper prints or that the released files contain. ``judge``
combines both to a verdict.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import yaml

from dancemvp_core.paper import printed
from dancemvp_core.paper.arithmetic import ARITHMETIC
from dancemvp_core.paper.comparison import CONDITIONAL
from dancemvp_core.paper.rules import RULES, Finding, Missing, Results

VERIFIED, CONTRADICTED = "verified", "contradicted"
INCONCLUSIVE, NOT_TESTABLE = "inconclusive", "not testable here"
SOURCES = ("text", "numbers", "code")
FIELDS = ("id", "claim", "place", "source", "estimand", "rule", "settings", "results")
COLUMNS = [
    *(
        "id",
        "verdict",
        "claim",
        "place",
        "source",
        "estimand",
        "measured",
        "ci_low",
        "ci_high",
        "n_seeds",
        "finding",
        "measured_verdict",
    ),
    *("dataset", "synthetic", "profile", "arithmetic", "arithmetic_agrees", "rule", "results"),
]
FIXED_NUMBERS = ("paper_only", "files_only", "set_up")  # rules of claims on sizes: a calculation alone can verify them
SYNTHETIC_NAMES = {"synthdance": "SynthDance"}


# --- verdicts ----------------------------------------------------------------------------------------------------


def load() -> list[dict]:
    """Return the claims in claims.yaml.

    Raises ValueError with the claim's id for a missing or unknown field, and for an unknown source, rule or calculation.
    """
    claims = yaml.safe_load((Path(__file__).parent / "claims.yaml").read_text(encoding="utf-8"))
    for claim in claims:
        who = claim.get("id", "a claim without id")
        if missing := [f for f in FIELDS if f not in claim]:
            raise ValueError(f"claims.yaml: {who}: no {missing[0]!r}")
        if claim["source"] not in SOURCES:
            raise ValueError(f"claims.yaml: {who}: source {claim['source']!r}, expected {', '.join(SOURCES)}")
        if claim["rule"] not in RULES:
            raise ValueError(f"claims.yaml: {who}: no rule {claim['rule']!r}")
        if claim.get("arithmetic", next(iter(ARITHMETIC))) not in ARITHMETIC:
            raise ValueError(f"claims.yaml: {who}: no arithmetic {claim['arithmetic']!r}")
        if unknown := set(claim) - {*FIELDS, "arithmetic"}:
            raise ValueError(f"claims.yaml: {who}: unknown field {unknown.pop()!r}")
    return claims


def strongest(holds: bool | None, results: Results) -> str:
    """Return a finding as a verdict. On synthetic data or with a small profile, a claim at most "holds on ... (toy)"."""
    if holds is None:
        return INCONCLUSIVE
    if not results.synthetic and results.paths.profile == "paper":
        return VERIFIED if holds else CONTRADICTED
    name = SYNTHETIC_NAMES.get(results.paths.dataset, results.paths.dataset)
    return f"{'holds' if holds else 'does not hold'} on {name} (toy)"


def judge_one(claim: dict, results: Results) -> dict:
    """Return one claim's row of claims.csv. If fixed numbers (the paper's, the code's) contradict it, they decide the verdict."""
    try:
        stated = {"stated": printed.STATED[claim["id"]]} if claim["id"] in printed.STATED else {}
        finding = RULES[claim["rule"]](results, **claim["settings"], **stated)
        measured = strongest(finding.holds, results)
        if finding.seeds == 1 and CONDITIONAL not in finding.text:
            finding = replace(finding, text=f"{finding.text}; {CONDITIONAL}")
    except Missing as reason:
        finding, measured = Finding(None, str(reason)), NOT_TESTABLE
    own = ARITHMETIC[claim["arithmetic"]]() if "arithmetic" in claim else None
    verdict = measured
    if own is not None and not own.agrees:
        verdict = CONTRADICTED
    elif own is not None and measured == NOT_TESTABLE and claim["rule"] in FIXED_NUMBERS:
        verdict = VERIFIED
    by_numbers = own is not None and verdict in (VERIFIED, CONTRADICTED) and verdict != measured
    decided_by = "the released files" if claim["source"] == "code" else "the paper's own numbers"
    stated = {name: claim[name] for name in ("id", "claim", "place", "source", "estimand", "rule")}
    return stated | {
        "verdict": verdict, "measured": finding.measured, "ci_low": finding.low, "ci_high": finding.high,
        "n_seeds": finding.seeds, "finding": finding.text, "measured_verdict": measured,
        "dataset": decided_by if by_numbers else results.paths.dataset,
        "synthetic": results.synthetic, "profile": results.paths.profile,
        "arithmetic": own.text if own else "", "arithmetic_agrees": own.agrees if own else None,
        "results": "; ".join(claim["results"]),
    }  # fmt: skip


def judge(results: Results, claims: list[dict] | None = None) -> pd.DataFrame:
    """Return a table with the verdicts of all claims (COLUMNS), in the order of claims.yaml."""
    rows = [judge_one(claim, results) for claim in (load() if claims is None else claims)]
    return pd.DataFrame(rows, columns=COLUMNS).astype({"n_seeds": "Int64", "arithmetic_agrees": "boolean"})
