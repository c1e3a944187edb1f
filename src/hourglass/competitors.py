"""Why these losses competed: what was said of each before training, and how it fared."""

from collections.abc import Mapping, Sequence
from typing import Any

from hourglass import candidates
from hourglass.catalog import listed

SUFFIXES = {1: "st", 2: "nd", 3: "rd"}


def lead(profile: Mapping[str, Any], best: str) -> str:
    """What was seen in the data, what it advised, and whether that was borne out."""
    likely = profile["likely_good"]
    borne_out = "was" if best.partition("+")[0] in likely else "was not"
    advised = (
        f" Likely good by that: {listed(likely)}, under the {profile['scaler']} scaler; the best, "
        f"{best}, {borne_out} among them."
        if likely
        else ""
    )
    return f"Seen in the training rows before any training: {profile['why']}.{advised}"


def table(
    profile: Mapping[str, Any],
    tried: Sequence[Mapping[str, str]],
    chosen: Mapping[str, str],
) -> list[dict[str, str]]:
    """A line for each loss, the best first.

    Args:
        profile: What preprocess found out about the data, with its advice.
        tried: Lines of trials.csv.
        chosen: Loss -> its scaler, the best first.
    """
    lines = []
    for place, (name, scaler) in enumerate(chosen.items(), start=1):
        own = profile["losses"][name.partition("+")[0]]
        scalers = dict.fromkeys(t["scaler"] for t in tried if t["loss"] == name)
        lines.append(
            {
                "loss": name,
                "came": ordinal(place),
                "before training": own["status"],
                "because": own["reason"],
                "assumes": candidates.assumption(name),
                "scaler": _chosen(scaler, list(scalers)),
            }
        )
    return lines


def _chosen(scaler: str, tried: Sequence[str]) -> str:
    return f"{scaler}, of {', '.join(tried)}" if len(tried) > 1 else f"{scaler}, the only one"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, ..."""
    teen = 10 < place % 100 < 20
    return f"{place}{'th' if teen else SUFFIXES.get(place % 10, 'th')}"


def absent(profile: Mapping[str, Any], tried: Sequence[Mapping[str, str]]) -> list[str]:
    """Losses without a trial, by the reason why they have none."""
    present = {loss for t in tried for loss in t["loss"].split("+")}
    present |= set(profile.get("heads", {}).values())
    by_reason: dict[str, list[str]] = {}
    for name, own in profile["losses"].items():
        if name in present:
            continue
        reason = (
            "not named in search.losses"
            if own["status"] == "admissible"
            else f"{own['status']}, {own['reason']}"
        )
        by_reason.setdefault(reason, []).append(name)
    return [f"Did not compete: {listed(names)}: {why}." for why, names in by_reason.items()]
