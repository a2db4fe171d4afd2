#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs tools that were built with the Swift runtime inside in a Debian 12 that has no Swift.

    static.py TOOLS

The folder of that system is made by mmdebstrap, with the
essential packages and with the libraries that the tools need: LIBRARIES below. What each command prints and writes there must be, byte for
byte, what it prints and writes outside. Making the folder takes root and a network; where it cannot be made, its checks are skipped.
"""
import os, pathlib, shutil, subprocess, sys
from counting import counts, expect, finish

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRATCH = ROOT / ".build-debian"
tools = pathlib.Path(sys.argv[1]).resolve()
NAMES = ["nc-ternarize", "nc-prune", "nc-quantize", "nc-restore", "nc-verify", "nc-run", "nc-info"]
LIBRARIES = ["libhdf5-103-1", "libzstd1", "libopenblas0", "libstdc++6"]
COMMANDS = [
    "nc-info --version", "nc-ternarize net.h5 ternary.ncz", "nc-prune --by singular-value --keep .25 net.h5 narrow.ncz",
    "nc-prune --by node --keep .5 net.h5 nodes.ncz", "nc-quantize net.h5 grid.ncz", "nc-quantize --levels 16 net.h5 levels.ncz", "nc-restore ternary.ncz back.h5", "nc-restore --shape reduced nodes.ncz smaller.h5",
    "nc-restore --layout plain narrow.ncz plain.h5", "nc-verify --data test.h5 --report report.html net.h5 narrow.ncz",
    "nc-verify -q --data test.h5 --max-accuracy-loss .04 net.h5 ternary.ncz", "nc-run --data test.h5 -o outputs.h5 ternary.ncz", "nc-info --stats --plot net.svg net.h5",
    "nc-info --test ternary.ncz narrow.ncz nodes.ncz grid.ncz levels.ncz"]


def check_libraries():
    for name in NAMES:
        needed = subprocess.run(["ldd", tools / name], stdout=subprocess.PIPE, check=True).stdout.decode()
        swift = [line for line in needed.splitlines() if any(word in line for word in ("libswift", "libFoundation", "libdispatch", "BlocksRuntime"))]
        expect("libhdf5" in needed and not swift, f"{name} needs {swift}")


def system(folder):
    """Makes a Debian 12 in a folder; why it cannot be made, or `None`."""
    if os.geteuid() != 0:
        return "not root"
    for program in ("mmdebstrap", "unshare", "chroot"):
        if not shutil.which(program):
            return f"no {program}"
    if subprocess.run(["unshare", "--mount", "mount", "--rbind", "/proc", "/mnt"], stderr=subprocess.DEVNULL).returncode:
        return "mounts are not permitted"
    command = ["mmdebstrap", "--quiet", "--variant=essential", "--aptopt=Acquire::Retries \"5\"", f"--include={','.join(LIBRARIES)}", "bookworm", folder]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if result.returncode == 0 else "mmdebstrap: " + result.stdout.decode(errors="replace").strip()[-300:]


def prepared(folder):
    folder.mkdir()
    shutil.copy(ROOT / "fixtures/networks/fashion_300_100.h5", folder / "net.h5")
    shutil.copy(ROOT / "fixtures/data/fashion_test.h5", folder / "test.h5")
    return folder


def main():
    debian, outside = SCRATCH / "debian", SCRATCH / "outside"
    SCRATCH.mkdir(exist_ok=True)
    check_libraries()
    shutil.rmtree(debian, ignore_errors=True)
    shutil.rmtree(outside, ignore_errors=True)
    reason = system(debian)
    if reason:
        print(f"skipped: a Debian without Swift cannot be made: {reason}")
        counts["skipped"] += len(COMMANDS)
        return finish()
    expect(not list(debian.rglob("libswift*")), "Swift is in the system that is to have none")
    for name in NAMES:
        shutil.copy(tools / name, debian / "usr/local/bin")
    prepared(outside)
    inside = prepared(debian / "work")
    environment = {"HOME": "/", "LC_ALL": "C.UTF-8"}
    for command in COMMANDS:
        a = subprocess.run(["sh", "-c", command], cwd=outside, env=environment | {"PATH": f"{tools}:/usr/bin:/bin"}, capture_output=True, timeout=300)
        enter = 'mount --rbind /proc "$0/proc" && exec chroot "$0" /bin/sh -c "cd /work && $1"'
        b = subprocess.run(["unshare", "--mount", "sh", "-c", enter, debian, command], env=environment | {"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, timeout=300)
        expect(a.returncode in (0, 1), f"{command}: status {a.returncode}: {a.stderr[-300:]}")
        expect((a.returncode, a.stdout, a.stderr) == (b.returncode, b.stdout, b.stderr), f"{command}: status {b.returncode} instead of {a.returncode}: {b.stderr[-300:]}")
    names = sorted(path.name for path in outside.iterdir())
    expect(len(names) == 13 and names == sorted(path.name for path in inside.iterdir()), f"files: {names}")
    for name in names:
        expect((inside / name).is_file() and (outside / name).read_bytes() == (inside / name).read_bytes(), f"{name} has other bytes without Swift")
    shutil.rmtree(debian)
    return finish()


if __name__ == "__main__":
    sys.exit(main())
