"""Benches of losses that were run apart, as one: each machine has seeds of its own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pandas as pd

from srlongtail.errors import InputError

_RUN = ["loss", "seed", "iterations"]


@dataclass(frozen=True)
class LossBench:
    """What `run_losses` writes.

    Attributes:
        name: Of its file, for messages.
        scores: The columns `COLUMNS`.
        gradients: The columns `GRADIENT_COLUMNS`.
        record: How the runs were made, and which are done; empty if there is none.
    """

    name: str
    scores: pd.DataFrame
    gradients: pd.DataFrame
    record: Mapping[str, Any]


def join_benches(benches: Sequence[LossBench]) -> LossBench:
    """Return several benches as one.

    All must have the same recipe, training images and test images. Machines round differently, so
    a loss is best compared with L1 on the same machine: with the seeds of one bench. Runs of
    one seed and length may come from several benches if all have the same precision; their
    differences then contain what perturbed L1 shows.

    Args:
        benches: One at least; their names appear in messages.

    Returns:
        The rows of all. The record is that of the first, with what is planned and done in any of
        them, and `parts`, which says how the runs of each were made.

    Raises:
        InputError: Two benches differ in a setting, have the same run, or have runs of one seed in
            different precisions; or one has no record.

    Example:
        >>> runs = pd.DataFrame({"loss": ["l1"], "seed": 0, "iterations": 4000})
        >>> alone = LossBench("losses.csv", runs, runs, {})
        >>> join_benches([alone]) is alone
        True
    """
    return reduce(_join, benches)


def seeds_by_loss(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the seeds of each loss and length that are planned, and those that are done.

    Args:
        rows: Mappings with the keys `loss`, `iterations`, `planned` and `done`, any number of them
            for a loss and length; the last two are lists of seeds.

    Returns:
        One such mapping for each loss and length, in order of appearance.

    Example:
        >>> run = {"loss": "l1", "iterations": 4000, "planned": [0]}
        >>> seeds_by_loss([{**run, "done": [0]}, {**run, "planned": [1], "done": []}])
        [{'loss': 'l1', 'iterations': 4000, 'planned': [0, 1], 'done': [0]}]
    """
    seeds: dict[tuple[str, int], dict[str, set[int]]] = {}
    for row in rows:
        states = seeds.setdefault((row["loss"], row["iterations"]), {})
        for state in ("planned", "done"):
            states.setdefault(state, set()).update(row[state])
    return [
        {"loss": loss, "iterations": iterations}
        | {state: sorted(known) for state, known in states.items()}
        for (loss, iterations), states in seeds.items()
    ]


def _join(one: LossBench, two: LossBench) -> LossBench:
    _check_same_settings(one, two)
    _check_runs(one, two)
    return LossBench(
        one.name,
        pd.concat([one.scores, two.scores], ignore_index=True),
        pd.concat([one.gradients, two.gradients], ignore_index=True),
        _joined_record(one.record, two.record),
    )


def _check_same_settings(one: LossBench, two: LossBench) -> None:
    for bench in (one, two):
        if not bench.record:
            raise InputError(
                f"{bench.name}: no record beside it, expected the .json that was written with it"
            )
    ours, theirs = (dict(_settings(bench.record)) for bench in (one, two))
    for key in [*ours, *theirs]:
        expected, arrived = (known.get(key, "none") for known in (ours, theirs))
        if expected != arrived:
            raise InputError(f"{two.name}: {key} {arrived}, expected {expected} as in {one.name}")


def _settings(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what must be the same for runs to be comparable, with its name."""
    for key, value in record["settings"]["recipe"].items():
        if key != "precision":
            yield f"{key.replace('_', ' ')} of the recipe", value
    yield "perturbation", record["settings"]["perturbation"]
    yield "hash of the training images' names", record["training"]["data"]["names_sha256"]
    for data in record["data"]:
        yield f"hash of the test set {data['name']}", data["sha256"]
    yield "protocol", record["protocol"]


def _check_runs(one: LossBench, two: LossBench) -> None:
    ours, theirs = (set(map(tuple, bench.scores[_RUN].values)) for bench in (one, two))
    for loss, seed, iterations in sorted(ours & theirs):
        raise InputError(
            f"{two.name}: {loss}, seed {seed}, {iterations:,} iterations, expected runs that are "
            f"not in {one.name} as well"
        )
    shared = {run[1:] for run in ours} & {run[1:] for run in theirs}
    expected, arrived = (_precisions([bench.record]) for bench in (one, two))
    if shared and len({*expected, *arrived}) > 1:
        seed, iterations = min(shared)
        raise InputError(
            f"{two.name}: runs of seed {seed}, {iterations:,} iterations, in "
            f"{' and '.join(arrived)}, expected {' and '.join(expected)} as in {one.name}, or "
            f"other seeds"
        )


def _joined_record(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **one,
        "training": {**one["training"], "precisions": _precisions([one, two])},
        "complete": seeds_by_loss([*one["complete"], *two["complete"]]),
        "parts": [*_parts(one), *_parts(two)],
    }


def _precisions(records: Sequence[Mapping[str, Any]]) -> list[str]:
    return sorted({name for record in records for name in record["training"]["precisions"]})


def _parts(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how the runs of a bench, or of each bench in it, were made."""
    if "parts" in record:
        return list(record["parts"])
    done = [
        {key: row[key] for key in ("loss", "iterations", "done")}
        for row in record["complete"]
        if row["done"]
    ]
    return [{"command": record["command"], "training": record["training"], "runs": done}]
