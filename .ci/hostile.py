#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives the tools damaged and malicious files: every one ends with 0, 65, 69 or 75 within 10 s and 1 GiB, never by a signal,
opens nothing but its input, and loads no plugin. Where a tool succeeds and h5py reads the file too, they read the same.

    hostile.py TOOLS FOLDER…                              every file
    hostile.py TOOLS --mutations N --seed S FOLDER…       N files with 1 to 64 random bytes changed
"""
import argparse, collections, ctypes, multiprocessing, os, pathlib, random, re, resource, shutil, signal, subprocess, sys, tempfile, threading, zlib
import h5py
from same import stored, values
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "spec"))
import ncz

ALLOWED, SECONDS, BYTES = {0, 65, 69, 75}, 10, 2**30
UNDEFINED = {"cve-2025-2308.h5"}               # of its damaged scale-offset chunk every version of libhdf5 makes something else
FURTHER = (("nc-prune", "--keep", "0.3"), ("nc-prune", "--by", "node", "--keep", "0.5"), ("nc-prune", "--by", "singular-value", "--keep", "0.5", "--memory", "512M"),
           ("nc-quantize",), ("nc-quantize", "--levels", "5"), None, "run", "verify")
DATA = pathlib.Path(__file__).resolve().parent.parent / "fixtures/data/digits_relu.ref.h5"
SMALL = 150_000                                # bytes of the files that are mutated
PLUGIN = """
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void loaded(void) { FILE *mark = fopen(getenv("NC_MARK"), "w"); if (mark) fclose(mark); }
"""
OPENED = re.compile(r'\b(?:open|openat|execve)\((?:[^",]+, )?"((?:[^"\\]|\\.)*)"')
SYSTEM = ("/proc/self/", "/proc/sys/", "/etc/ld.so.", "/dev/null", "/dev/urandom", "/sys/devices/system/cpu", "/sys/fs/cgroup")


def libraries(tools):
    """The folders in which the loader finds a tool's libraries."""
    listed = subprocess.run(["ldd", tools + "/nc-ternarize"], capture_output=True, text=True, check=True).stdout
    return tuple({os.path.dirname(path) + "/" for path in re.findall(r"=> (/\S+)", listed)})


def plant_plugin(folder):
    """A plugin that leaves a mark when it is loaded, and the proof that it does."""
    mark = folder / "loaded"
    os.environ |= {"HDF5_PLUGIN_PATH": str(folder), "NC_MARK": str(mark)}
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "libplanted.so"], input=PLUGIN, text=True, check=True)
    subprocess.run([sys.executable, "-c", f"import ctypes; ctypes.CDLL('{folder}/libplanted.so')"], check=True)
    if not mark.exists():
        sys.exit("the planted plugin does not work")
    mark.unlink()
    return mark


def run(problems, *command, allowed=ALLOWED, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL):
    """Runs a tool, with its children in a group of its own; its exit status. Appends to problems what is not allowed."""
    # libhdf5 may compute for 10 s each time that it is asked, and on some damaged files does; here for less.
    command = (command[0], "--time", "4", *command[1:])
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, start_new_session=True, stdin=stdin, stdout=stdout, stderr=said)
        timer = threading.Timer(12 * SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        timer.cancel()
        said.seek(0)
        lines = said.read().count(b"\n")
    process.returncode = status = os.waitstatus_to_exitcode(status)
    seconds, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024           # of processors: the machine may be busy
    name = pathlib.Path(command[0]).name
    if status not in allowed:
        problems.append(f"{name}: " + (f"signal {-status}" if status < 0 else f"exit {status}"))
    elif status and status != 64 and "-q" in command and lines != 1:
        problems.append(f"{name}: {status} with {lines} lines on stderr")
    if seconds > SECONDS or peak > BYTES:
        problems.append(f"{name}: {seconds:.1f} s, {peak >> 20} MiB")
    return status


def read(source, path, fill):
    """The bytes of a dataset as h5py reads it where unused memory has the bytes `fill`, or None."""
    ctypes.CDLL(None).mallopt(-6, fill)                               # M_PERTURB
    try:
        with h5py.File(source) as file:
            return values(file[path].id)
    except Exception:
        return None


def compare(source, packed):
    """Exit status 0: all tensors that h5py reads as well are equal; 1: they are not; 2: h5py reads none."""
    signal.alarm(2 * SECONDS)                                         # h5py may hang or die: this is a child of ours
    resource.setrlimit(resource.RLIMIT_AS, (4 * BYTES, 4 * BYTES))
    file, compared = ncz.load(packed), 0
    for tensor in file.tensors:
        wanted, again = (read(source, tensor["path"], fill) for fill in (0x55, 0xAA))
        if wanted is not None and wanted == again:                    # else it reads beyond a buffer
            compared += 1
            if wanted != stored(file, tensor):
                return 1
    return 0 if compared else 2


def forked(function, *arguments):
    child = os.fork()
    if child == 0:
        try:
            os._exit(function(*arguments))
        except BaseException as error:
            print(type(error).__name__, error)
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def further(problems, tools, source, folder, options):
    """Applies it to data and it to a network as data; compares it with itself; statistics without options; else compresses and restores."""
    if options == "run":
        run(problems, tools + "/nc-run", "-q", "--data", source, DATA.parent.parent / "networks/digits_relu.h5")
        return run(problems, tools + "/nc-run", "-q", "--data", DATA, source)
    if options == "verify":
        return run(problems, tools + "/nc-verify", "-q", "--points", "32", "--samples", "256", "--memory", "64M", source, source)
    if options is None:
        return run(problems, tools + "/nc-info", "--stats", "--memory", "64M", source)      # of a huge sound matrix it takes minutes
    packed, restored = os.path.join(folder, "further"), os.path.join(folder, "back")
    tool, *options = options
    status = run(problems, f"{tools}/{tool}", "-fq", *options, source, packed)
    if status == 0 and not ncz_input(source):
        shape = "reduced" if "node" in options else "source"
        answer = run(problems, tools + "/nc-restore", "-fq", "--shape", shape, packed, restored)
        if answer and shape == "source":                                  # a reduced file is built anew, from a sound tree only
            problems.append(f"nc-restore refuses what {tool} wrote: {answer}")
    return status


def examine(job):
    """All that is asked of one file: its name, the exit statuses, whether h5py was compared, the problems."""
    tools, source, name, allowed = job
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        packed, restored, carried, equal, trace = (os.path.join(folder, n) for n in ("packed", "restored", "carried", "equal", "trace"))
        statuses = [run(problems, tools + "/nc-info", source), run(problems, tools + "/nc-ternarize", "-q", source, packed)]
        if statuses[1] == 0:
            statuses.append(run(problems, tools + "/nc-restore", "-q", packed, restored))
            if statuses[2] and not ncz_input(source):                     # a .ncz need not hold a file to restore
                problems.append(f"nc-restore refuses what nc-ternarize wrote: {statuses[2]}")
        # All of it of a file, one kind of a mutation.
        kinds = FURTHER if not name.startswith("mutation") else (FURTHER[zlib.crc32(name.encode()) % len(FURTHER)],)
        statuses += [further(problems, tools, source, folder, options) for options in kinds]
        compared = 0
        if statuses[1] in (0, 69) and not ncz_input(source) and run(problems, tools + "/nc-ternarize", "-q", "--except", "*", source, carried) == 0:
            if run(problems, tools + "/nc-restore", "-q", carried, equal) or pathlib.Path(source).read_bytes() != pathlib.Path(equal).read_bytes():
                problems.append("carried and restored, it is not the same file")
            answer = forked(compare, source, carried)
            compared = answer == 0
            if answer in (1, 3) and name not in UNDEFINED:
                problems.append("values are not those that h5py reads")
        if allowed:
            subprocess.run(["strace", "-f", "-qq", "-e", "trace=open,openat,execve", "-o", trace, tools + "/nc-ternarize", "-fq", source, packed],
                           stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            lines = [line for line in pathlib.Path(trace).read_text(errors="replace").splitlines() if "EMFILE" not in line]     # its limit forbade it
            opened = [path for line in lines for path in OPENED.findall(line)]
            strange = {path for path in opened if not path.startswith((folder, tools, *allowed)) and path not in (source, "/tmp")}
            if strange or not opened:
                problems.append(f"opens {strange}")
    return name, tuple(statuses), compared, problems


def ncz_input(source):
    with open(source, "rb") as file:
        return file.read(4) == b"\x89NCZ"


def mutations(tools, sources, count, seed, folder):
    """Jobs on files that exist only while they are examined."""
    originals = [(source, source.read_bytes()) for source in sources if 0 < source.stat().st_size <= SMALL]
    for number in range(count):
        generator = random.Random(f"{seed} {number}")
        source, data = generator.choice(originals)
        data = bytearray(data)
        for _ in range(generator.randint(1, 64)):
            data[generator.randrange(len(data))] = generator.randrange(256)
        path = folder / f"{number}{source.suffix}"
        yield tools, str(path), f"mutation {number} of seed {seed}, {source.name}", None, bytes(data)


def examine_mutation(job):
    *job, data = job
    pathlib.Path(job[1]).write_bytes(data)
    result = examine(job)
    if result[3] and os.environ.get("NC_KEEP"):                       # a folder for the files that show a problem
        shutil.copy(job[1], os.environ["NC_KEEP"])
    os.unlink(job[1])
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    parser.add_argument("--mutations", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tools = str(options.tools.resolve())
    sources = sorted(path.resolve() for folder in options.folders for path in folder.rglob("*")
                     if path.is_file() and path.suffix not in (".json", ".hex", ".md", ".py", ".txt"))
    failed, compared, statuses = 0, 0, collections.Counter()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(2) as pool:
        mark = plant_plugin(pathlib.Path(folder))
        allowed, telling = SYSTEM + libraries(tools), re.compile(r"external|virtual|link|escape|plugin")
        if options.mutations:
            results = pool.imap_unordered(examine_mutation, mutations(tools, sources, options.mutations, options.seed, pathlib.Path(folder)), 8)
        else:
            jobs = [(tools, str(source), source.name, allowed if telling.search(source.name) or i % 10 == 0 else None) for i, source in enumerate(sources)]
            results = pool.imap_unordered(examine, jobs)
        for count, (name, status, same, problems) in enumerate(results, 1):
            statuses.update(status)
            compared += same
            failed += bool(problems)
            if problems:
                print("FAILED", f"{name}:", "; ".join(problems), flush=True)
        if mark.exists():
            failed += 1
            print("FAILED a plugin was loaded")
    print(f"{count} files, {compared} of them compared with h5py; exit statuses", dict(sorted(statuses.items())))
    print(f"{count - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
