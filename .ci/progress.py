#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Progress: on a terminal a line within two seconds, with what is being done, with time left where work is counted, erased
by what is said next; nothing with -q, without a terminal, or on a dumb one.

    python3 progress.py TOOLS
"""
import os, pathlib, pty, re, select, subprocess, sys, tempfile, time
import h5py, numpy
from counting import expect, finish

tools = sys.argv[1]


def watch(arguments, pattern, seconds=20, term="xterm"):
    """What a tool says on a terminal until it says what is awaited, or is done; and whether it ended by itself."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([f"{tools}/{arguments[0]}", *map(str, arguments[1:])], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=theirs, env=os.environ | {"TERM": term})
    os.close(theirs)
    said, end = b"", time.monotonic() + seconds
    while time.monotonic() < end and not (pattern and re.search(pattern, said)):
        if select.select([ours], [], [], 0.1)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:                                                          # the other end is closed
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    pass
                break
    ended = process.poll() is not None
    if not ended:
        process.kill()
    process.wait()
    os.close(ours)
    return said, ended


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    random = numpy.random.default_rng(1)
    one, wide, out = folder / "one.h5", folder / "wide.h5", folder / "out.ncz"
    with h5py.File(one, "w") as file:
        file["fc1/kernel"] = random.standard_normal((2500, 2500)).astype("f4")
    with h5py.File(wide, "w") as file:
        for number, shape in enumerate(((300, 400), (400, 400), (400, 10)), 1):
            file[f"fc{number}/kernel"] = random.standard_normal(shape).astype("f4")
            file[f"fc{number}/bias"] = random.standard_normal(shape[1]).astype("f4")
    subprocess.run([f"{tools}/nc-prune", "-q", "--keep", ".5", wide, out], check=True)
    # One large matrix, whose singular values are one call of LAPACK.
    stats = ("nc-info", "--stats", one)
    monte_carlo = ("nc-verify", "--measure", "outputs", "--samples", 3000000, "--activation", "relu", "--no-verdict", wide, out)
    spectrum = ("nc-verify", "--measure", "spectrum", "--points", 3000, "--activation", "relu", "--no-verdict", wide, out)
    pruning = ("nc-prune", "-f", "--by", "singular-value", "--keep", ".1", one, folder / "low.ncz")
    for name, arguments, pattern in (
        ("--stats", stats, rb"nc-info: singular values of fc1/kernel, \d+ s"),
        ("Monte Carlo", monte_carlo, rb"nc-verify: outputs, \d+ %, [\d:]+ (s|min|h) left"),
        ("spectrum", spectrum, rb"nc-verify: (kernels of [AB]|comparing kernels), \d+ s"),
        ("one matrix", pruning, rb"nc-prune: singular values of fc1/kernel, \d+ s"),
    ):
        said, ended = watch(arguments, rb"\r\x1b\[K" + pattern)
        expect(re.search(rb"\r\x1b\[K" + pattern, said), f"{name}: no progress in {said[-300:]!r}, {'ended' if ended else 'running'}")
    for name, arguments, term in (("-q", (*pruning, "-q"), "xterm"), ("dumb", pruning, "dumb")):
        said, _ = watch(arguments, None, 4, term)
        expect(b"\x1b" not in said, f"{name}: {said!r}")
    piped = subprocess.run([f"{tools}/{stats[0]}", *map(str, stats[1:])], capture_output=True)
    expect(b"\x1b" not in piped.stderr, f"no terminal: {piped.stderr[-300:]!r}")
    # What is said next begins a line that is empty again.
    said, ended = watch(pruning, None, 120)
    last = said.rsplit(b"\r\x1b[K", 1)[-1]
    expect(ended and b"one.h5: " in last and not re.search(rb" s(?: left)?$|\d %", last.rstrip()), f"the last line: {last!r}")
sys.exit(finish())
