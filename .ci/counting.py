# SPDX-License-Identifier: Apache-2.0
"""What the checks count: `expect` says what does not hold, `finish` how many did."""
counts = {"passed": 0, "failed": 0, "skipped": 0}


def expect(ok, what):
    counts["passed" if ok else "failed"] += 1
    if not ok:
        print("FAILED", what, flush=True)
    return bool(ok)


def finish():
    """Prints the last line of a check, and gives its exit status: a check of nothing has failed."""
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return counts["failed"] > 0 or not counts["passed"]
