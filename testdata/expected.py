#!/usr/bin/env python3
"""Computes the figures that ./demo must arrive at, without any code of NetDb.

    python3 expected.py FILE.ndjson.zst > FILE.expected.json

Needs python3 and the command `zstd`. The result holds one value a line, so that a shell script can read it.
"""

import collections
import decimal
import fractions
import hashlib
import json
import subprocess
import sys

POINT_SEQ = 12_345
ROUTE_FLIGHTS_MIN = 50
ROUTES_PER_AIRPORT = 2


def events(path):
    """Yields (seq, event) for each line of the file, in its order."""
    unpacked = subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE)
    for seq, line in enumerate(unpacked.stdout):
        yield seq, json.loads(line)
    if unpacked.wait() != 0:
        sys.exit(f"zstd could not read {path}")


def rounded(total, count, decimals):
    """The mean as an exact fraction, rounded half away from zero, as a decimal text."""
    exact = fractions.Fraction(total, count)
    scaled = abs(exact) * 10**decimals
    whole = int(scaled + fractions.Fraction(1, 2))
    value = decimal.Decimal(whole if exact >= 0 else -whole).scaleb(-decimals)
    return f"{value:.{decimals}f}"


def figures(path):
    kinds = collections.Counter()
    carriers = collections.Counter()
    keys = set()
    without_key = 0
    delay_total = delay_count = 0
    routes = collections.defaultdict(lambda: [0, 0, 0])  # flights, delays known, their sum
    times = []
    count = 0
    point = None
    for seq, event in events(path):
        count += 1
        data = event["data"]
        kinds[event["type"]] += 1
        carriers[data["carrier"]] += 1
        if event["subject"] is None:
            without_key += 1
        else:
            keys.add(event["subject"])
        times.append(event["time"])
        delay = data["dep_delay"]
        route = routes[data["origin"], data["dest"]]
        if event["type"] == "flight.departed":
            route[0] += 1
        if delay is not None:
            delay_total += delay
            delay_count += 1
            if event["type"] == "flight.departed":
                route[1] += 1
                route[2] += delay
        if seq == POINT_SEQ:
            point = {
                "seq": seq,
                "kind": event["type"],
                "key": event["subject"],
                "carrier": data["carrier"],
                "flight": data["flight"],
            }
    with open(path, "rb") as packed:
        sha256 = hashlib.sha256(packed.read()).hexdigest()
    return {
        "sha256": sha256,
        "events": count,
        "kinds": dict(sorted(kinds.items())),
        "carriers": dict(sorted(carriers.items(), key=lambda pair: (-pair[1], pair[0]))),
        "distinct_keys": len(keys),
        "events_without_key": without_key,
        "dep_delay_count": delay_count,
        "dep_delay_mean": rounded(delay_total, delay_count, 6),
        "time_first": min(times),
        "time_last": max(times),
        "point": point,
        "worst_routes": worst_routes(routes),
    }


def worst_routes(routes):
    """For each airport of departure its routes with the greatest mean delay, worst first."""
    ranked = {}
    for airport in sorted({origin for origin, _ in routes}):
        candidates = [
            (fractions.Fraction(total, known), destination, total, known)
            for (origin, destination), (flights, known, total) in routes.items()
            if origin == airport and flights >= ROUTE_FLIGHTS_MIN
        ]
        candidates.sort(key=lambda row: (-row[0], row[1]))
        for _, destination, total, known in candidates[:ROUTES_PER_AIRPORT]:
            ranked[f"{airport},{destination}"] = rounded(total, known, 2)
    return ranked


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    json.dump(figures(sys.argv[1]), sys.stdout, indent=2)
    print()
