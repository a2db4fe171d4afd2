#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes single calls of the C library fail under every tool, and looks at what is left.

    faults.py [--all | --count N] [--seed N] [--only TEXT] [--functions LIST] TOOLS FIXTURES

A fault is a command, a function, an effect (an error number, a signal in between, half a read or write) and a turn: the
first call that fails, the second, … until no call is left. Of all faults N are drawn (300), as many of each
function as there are, or all are done; of calls that are made thousands of times (memory) the first hundred count, then
ten for each power of two.

Whatever fails: the status is one that the README lists and none that blames the input, which is sound; one line says
why; nothing dies by a signal (but by the one that it was sent) or hangs; no half file, no temporary is left; the input is as it
was. What was only interrupted or short is no failure at all. After status 0 the output is what it is without the fault.
"""
import argparse, collections, concurrent.futures, errno, os, pathlib, random, re, shutil, signal, subprocess, sys, tempfile

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("tools", type=pathlib.Path)
parser.add_argument("fixtures", type=pathlib.Path)
parser.add_argument("--all", action="store_true")
parser.add_argument("--count", type=int, default=300)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--limit", type=float, default=30, help="seconds for a command")
parser.add_argument("--only", default="", help="commands that contain this text")
parser.add_argument("--functions", default="", help="of these functions only, as write,fsync")
options = parser.parse_args()

here = pathlib.Path(__file__).resolve().parent
tools, networks = options.tools.resolve(), options.fixtures.resolve() / "networks"
work = pathlib.Path(tempfile.mkdtemp(prefix="nc-faults-"))
library = work / "faults.so"
subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, here / "faults.c", "-ldl"], check=True)

SHORT = 0
# What each function may answer when it fails; a `+` means that it fails from then on.
FUNCTIONS = {
    "write": ["ENOSPC", "EIO", "EINTR", "SHORT", "SIGTERM"], "pwrite": ["ENOSPC", "EINTR", "SHORT", "SIGHUP"],
    "read": ["EIO", "EINTR", "SHORT"], "pread": ["EIO", "EINTR", "SHORT"],
    # EPIPE and ECONNRESET would say that the process that reads HDF5 died of its file.
    "recv": ["ENOMEM", "EINTR", "SHORT"], "send": ["ENOBUFS", "EINTR", "SHORT"],
    "malloc": ["ENOMEM", "ENOMEM+"], "mmap": ["ENOMEM", "ENODEV", "ENOMEM+"],
    "posix_spawn": ["EAGAIN", "ENOMEM"], "socketpair": ["EMFILE"], "fcntl": ["EMFILE", "EINVAL"], "pthread_create": ["EAGAIN"],
    "link": ["EPERM", "EIO"], "linkat": ["EPERM", "EXDEV", "ENOSPC", "SIGINT"], "rename": ["EIO", "ENOSPC", "SIGTERM", "SIGINT"],
    "renameat2": ["EINVAL", "EIO", "SIGTERM"],
    "fsync": ["EIO", "ENOSPC", "EINTR", "EINVAL", "SIGTERM", "SIGXCPU"], "open": ["EMFILE", "EACCES", "EOPNOTSUPP", "EINTR", "EOPNOTSUPP+"],
    "fstat": ["EIO"], "stat": ["EIO"], "lstat": ["EIO"], "access": ["EACCES"], "ftruncate": ["EFBIG", "EINTR"], "lseek": ["EIO"],
    "fchmod": ["EPERM"], "fchown": ["EPERM"], "close": ["EIO", "EINTR"], "poll": ["EINTR", "ENOMEM"], "waitpid": ["EINTR"],
    "madvise": ["EINVAL"], "dlopen": ["ENOMEM"],
}
if options.functions: FUNCTIONS = {name: FUNCTIONS[name] for name in options.functions.split(",")}
# After these the work goes on as if nothing had happened. (Other errors of some calls are harmless too.)
HARMLESS = {"EINTR", "SHORT"}
# 1, 64, 65 and 66 would say that the sound input is to blame, or the user.
STATUSES = {0, 69, 70, 73, 74, 75}
BLAMES = {66: "open fstat read lseek"}  # … unless opening the input is what failed

samples = work / "samples"
samples.mkdir()
for name in ["digits_relu.h5", "digits_relu.keras", "digits.f16_gzip_shuffle_fletcher.h5"]:
    shutil.copy(networks / name, samples)
# A caller such as nohup has some signals ignored, and what is started inherits that.
for ends in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGXCPU): signal.signal(ends, signal.SIG_DFL)
environment = {"PATH": f"{tools}:/usr/bin:/bin", "LC_ALL": "C", "TERM": "dumb"}
make = lambda line: subprocess.run(line, shell=True, check=True, cwd=samples, env=environment)
make("nc-ternarize -q digits_relu.h5 net.ncz")
make("nc-prune -q --keep .3 digits.f16_gzip_shuffle_fletcher.h5 chunked.ncz")
make("nc-prune -q --by node --keep .5 digits_relu.h5 node.ncz")
make("nc-restore -q net.ncz old.h5")
make("nc-ternarize -q digits_relu.keras old.ncz")
(samples / "old.html").write_text("<!DOCTYPE html>\n")
shutil.copy(options.fixtures.resolve() / "data" / "digits_relu.ref.h5", samples / "data.h5")

# Each command with the file that it writes, if any; `old.*` exists and is replaced.
COMMANDS = [
    ("nc-ternarize digits_relu.h5 out", "out"), ("nc-ternarize -f digits_relu.h5 old.ncz", "old.ncz"),
    ("NC_NO_TMPFILE=1 nc-ternarize digits_relu.h5 out", "out"), ("NC_NO_TMPFILE=1 nc-restore -f net.ncz old.h5", "old.h5"),
    ("cat digits_relu.h5 | nc-ternarize | cat > out", None), ("nc-ternarize digits_relu.keras out", "out"),
    ("nc-ternarize digits.f16_gzip_shuffle_fletcher.h5 out", "out"),
    ("nc-prune --keep .2 digits_relu.h5 out", "out"), ("nc-prune --by node --keep .5 digits_relu.h5 out", "out"),
    ("nc-prune --by singular-value --keep .3 digits_relu.h5 out", "out"), ("nc-prune --target-size 80k digits_relu.h5 out", "out"),
    ("nc-quantize digits_relu.h5 out", "out"), ("nc-quantize --target-size 50k digits_relu.h5 out", "out"), ("nc-quantize -f --levels 16 digits_relu.h5 old.ncz", "old.ncz"),
    ("nc-restore net.ncz out", "out"), ("nc-restore -f net.ncz old.h5", "old.h5"), ("nc-restore chunked.ncz out", "out"),
    ("nc-restore net.ncz | cat > out", None), ("nc-restore old.ncz out", "out"), ("nc-restore --layout plain net.ncz out", "out"),
    ("nc-restore --shape reduced node.ncz out", "out"),
    ("nc-info digits_relu.h5", None), ("nc-info --test net.ncz", None), ("nc-info --test digits_relu.keras", None),
    ("nc-info --stats --plot out digits_relu.h5", "out"), ("nc-info --json chunked.ncz", None),
    ("nc-run --data data.h5 net.ncz", None), ("nc-run --data data.h5 -o out digits_relu.h5", "out"),
    ("nc-verify --points 64 --samples 200 --data data.h5 --report out digits_relu.h5 net.ncz", "out"),
    ("nc-verify --points 64 --samples 200 -f --report old.html digits_relu.h5 node.ncz", "old.html"),
]
COMMANDS = [command for command in COMMANDS if options.only in command[0]]


class Run:
    """One command in a folder of its own, perhaps with a fault."""

    def __init__(self, line, fault=None):
        folder = pathlib.Path(tempfile.mkdtemp(dir=work))
        (folder / "tmp").mkdir()
        self.names = set()
        for path in samples.iterdir():
            if path.name in line:
                shutil.copy2(path, folder)
                self.names.add(path.name)
        log = folder / "tmp" / "log"
        variables = environment | {"TMPDIR": str(folder / "tmp")}
        # Preloaded by the tool alone, not by its companions in the pipe.
        injected = f"NC_FAULT='{fault}' NC_FAULT_LOG='{log}' LD_PRELOAD='{library}' nc-"
        line = line if fault is None else re.sub(r"\bnc-", injected, line, count=1)
        process = subprocess.Popen(["bash", "-c", "set -o pipefail; " + line], cwd=folder, env=variables, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        self.hangs = False
        try:
            self.output, self.errors = process.communicate(timeout=options.limit)
        except subprocess.TimeoutExpired:
            self.hangs = True
            os.killpg(process.pid, signal.SIGKILL)
            self.output, self.errors = process.communicate()
        self.status = process.returncode
        text = log.read_text() if log.exists() else ""
        self.hit = "hit" in text
        self.calls = {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", text)}
        self.files = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
        self.temporaries = [p.name for p in (folder / "tmp").iterdir() if p.name != "log"]
        shutil.rmtree(folder)


baselines = {}
for line, _ in COMMANDS:
    baselines[line] = run = Run(line)
    assert run.status == 0, (line, run.errors)
originals = {path.name: path.read_bytes() for path in samples.iterdir()}


def turns_of(calls):
    """The first hundred calls, then ten for each power of two."""
    turns, turn = [], 1
    while turn <= calls:
        turns.append(turn)
        turn += 1 if turn < 100 else max(1, 2 ** (turn.bit_length() - 1) // 10)
    return turns


def problems(line, written, function, turn, effect):
    """What is wrong after a fault, and the status; no status where the fault did not come."""
    lasts = "+" if effect.endswith("+") else ""
    ends = getattr(signal, effect) if effect.startswith("SIG") else 0
    number = -ends if ends else SHORT if effect == "SHORT" else getattr(errno, effect.rstrip("+"))
    run, base = Run(line, f"{function}:{turn}{lasts}:{number}"), baselines[line]
    if not run.hit and not run.hangs: return [], None
    found = []
    lines = run.errors.decode(errors="replace").splitlines()
    if run.hangs: found.append("hangs")
    elif ends and run.status not in (-ends, 128 + ends): found.append(f"status {run.status}, expected {128 + ends}")
    elif not ends and run.status not in STATUSES and not (run.status in BLAMES and function in BLAMES[run.status].split()):
        found.append(f"status {run.status}")
    elif effect in HARMLESS and run.status: found.append(f"status {run.status}, although it was only interrupted or short")
    if ends:
        # A signal may come after a line that is said without it too.
        said = [line for line in lines if line.startswith("nc-")]
        if said != base.errors.decode().splitlines()[:len(said)]: found.append("says something")
    elif run.status and not run.hangs:
        if len(lines) != 1: found.append(f"{len(lines)} lines")
        elif not lines[0].startswith("nc-"): found.append("a line without the tool's name")
    elif run.files != base.files or run.output != base.output: found.append("status 0, and the output differs")
    for name, content in run.files.items():
        if name == written:
            if content not in (base.files.get(name), originals.get(name)): found.append(f"half a file: {name}")
        elif name not in run.names:
            if not (written is None and name == "out"): found.append(f"{name} is left")
        elif content != originals[name]: found.append(f"{name} is changed")
    missing = run.names - run.files.keys()
    if missing: found.append(f"{missing} is gone")
    if run.temporaries: found.append(f"temporary {run.temporaries} is left")
    if found: found.append("; ".join(lines[:3]))
    return found, run.status


pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
counts = list(pool.map(lambda command: Run(command[0], "*:0:0").calls, COMMANDS))
faults = [(line, written, function, turn, effect) for (line, written), calls in zip(COMMANDS, counts)
          for function in FUNCTIONS for turn in turns_of(calls.get(function, 0)) for effect in FUNCTIONS[function]]
print(f"{len(faults)} faults in {len(COMMANDS)} commands", flush=True)
if not options.all:
    random.Random(options.seed).shuffle(faults)
    place, drawn = collections.Counter(), []
    for fault in faults:
        place[fault[2]] += 1
        drawn.append((place[fault[2]], len(drawn), fault))
    faults = [fault for _, _, fault in sorted(drawn)[: options.count]]

statuses, passed, failed, missed = collections.Counter(), 0, 0, 0
for fault, (found, status) in zip(faults, pool.map(lambda fault: problems(*fault), faults)):
    if status is None:
        missed += 1
        continue
    statuses[128 - status if status < 0 else status] += 1
    if found:
        failed += 1
        line, _, function, turn, effect = fault
        print(f"FAILED {line}: {function}:{turn}:{effect}: {', '.join(found)}", flush=True)
    else: passed += 1
shutil.rmtree(work)
print("statuses:", ", ".join(f"{status}: {count}" for status, count in sorted(statuses.items())), f"; {missed} faults did not come")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
