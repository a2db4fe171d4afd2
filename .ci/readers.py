#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives files to three readers of the format, nc-info and nc-restore, spec/ncz.py and .ci/reader.c, and compares what they find: the verdicts of a
full test, and values. First all fixtures, against what their folders and JSON say; then N mutants, where a crash is a failure too.

    readers.py TOOLS [--mutants N] [--seed S] [--workers N]
    readers.py TOOLS --seed S --only NUMBER --keep FOLDER                      one mutant again, written to the folder
    readers.py TOOLS --file FILE…

Two verdicts are a disagreement where one of them is "sound" (0); corrupt (65) and unsupported (69) for one change alone (§7: a file that breaks
several rules may be given the verdict of any of them). Over a limit (75) is none beside another refusal, or where a tensor is declared that is large. A digest is the
last rule that a file breaks: where it is all that one reader finds, and another finds something else, the first has taken what the other refuses.
Who finds a file sound has compared its digests, which are those of the values that ncz.py decodes: the values are equal. Of one mutant in eight they are compared all the same.
"""
import argparse, collections, hashlib, json, multiprocessing, os, pathlib, re, subprocess, sys, tempfile
import h5py
from h5py import h5d, h5o
from elsewhere import elsewhere
from ncz_mutants import IN_HDF5, MANY, ROOT, SPELLED, NCZMutants, ncz, size_of
from same import values

FOLDERS = ("good", "cut", "bad", "unsupported", "truth")
STATUS = {"corrupt": 65, "unsupported": 69, "overLimit": 75}
SECONDS, BATCH = 20, 40
PERHAPS = "or corrupt, for a reader of HDF5"
NO_HDF5 = "the container is no HDF5 file"
LARGE = 16 << 20                                          # decoded bytes beyond which a reader's own limit may come first
OWN = ("--memory", "512M", "--time", "4")
SENTENCES = ((69, r"all else is sound, but|format version |required features "), (75, r"limit|more than \d+|over the"))
DIGEST = r"digest [0-9a-f]{32}, computed|wrong (content )?digest|the digest of (a tensor|the container|the file) is wrong"


class Readers:
    def __init__(self, tools, folder):
        self.tools, self.reader = pathlib.Path(tools).resolve(), pathlib.Path(folder) / "reader"
        subprocess.run(["cc", "-std=c11", "-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DNCZ_MAIN", "-o", self.reader,
                        ROOT / ".ci/reader.c", "-lzstd", "-lm"], check=True)

    # Each answers a status and why; another status than 0, 65, 69, 75 is a failure.

    def swift(self, *paths):
        """nc-info --test of files, one after the other in one process. The status of all but the first that is not sound is known by what is said of it."""
        done = subprocess.run([self.tools / "nc-info", *OWN, "--test", *paths], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=300)
        sound = {line.removesuffix(": sound") for line in done.stdout.splitlines() if line.endswith(": sound")}
        said = {}
        for line in done.stderr.splitlines():
            for path in paths:
                if line.startswith(f"nc-info: {path}: "):
                    said[path] = line.removeprefix(f"nc-info: {path}: ")
        found = {}
        for path in paths:
            if path in sound or path not in said:
                found[path] = (0 if path in sound else None, "")
            else:
                guess = next((status for status, pattern in SENTENCES if re.search(pattern, said[path])), 65)
                found[path] = (done.returncode, said[path]) if list(said)[0] == path else (guess, said[path])
                if found[path][0] != guess and len(paths) > 1:
                    return {path: self.swift(path)[path] for path in paths}       # a sentence that is not known here
        if done.returncode < 0 or any(status is None for status, _ in found.values()):
            return {path: self.swift(path)[path] for path in paths} if len(paths) > 1 else {paths[0]: (done.returncode, done.stderr)}
        return found

    def c(self, path):
        done = subprocess.run([self.reader, path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", timeout=SECONDS)
        return done.returncode, done.stderr.strip()

    def python(self, path):
        """The verdict without HDF5, which is that of the C reader, and with it, which is that of nc-info."""
        data = pathlib.Path(path).read_bytes()
        try:
            file = ncz.File(data)
            compare, file.compare = file.compare, lambda: []
        except (ncz.Corrupt, ncz.Unsupported, ncz.OverLimit) as error:
            return 2 * ((error.status, str(error)),)
        except Exception as error:
            return 2 * ((1, repr(error)),)
        without = verdict(file.test)
        if without[0] not in (0, 69) or file.container is None or "restoring the source file" in file.unsupported:
            return without, without
        # Where values are not known, what HDF5 reads there may be passed over, and nc-info reads nothing of a file in which they leave a hole.
        unknown = any("offset" in t.get("place", ()) or "chunks" in t.get("place", ()) for t in file.tensors if f"decoding {t['name']}" in file.unsupported)
        with_hdf5 = elsewhere(verdict, compare, seconds=SECONDS) or (None, "h5py did not live to answer")
        if any("no HDF5 file" in note for note in with_hdf5[2:]):
            with_hdf5 = 65, NO_HDF5
        return without, (69, PERHAPS) if unknown and with_hdf5[0] == 65 else with_hdf5[:2] if with_hdf5[0] != 0 else without

    def c_values(self, path, name):
        return subprocess.run([self.reader, path, name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SECONDS).stdout

    def swift_values(self, path):
        """The values of all tensors, in no order, as nc-restore writes them into a new file."""
        with tempfile.TemporaryDirectory() as folder:
            plain = os.path.join(folder, "plain.h5")
            done = subprocess.run([self.tools / "nc-restore", *OWN, "-q", "--layout", "plain", path, plain], stdin=subprocess.DEVNULL, capture_output=True, timeout=30 + SECONDS)
            if done.returncode:
                return done.returncode
            found = collections.Counter()
            with h5py.File(plain) as file:
                def visit(name):
                    node = h5o.open(file.id, name)
                    if isinstance(node, h5d.DatasetID):
                        found[hashlib.sha256(values(node)).hexdigest()] += 1
                h5o.visit(file.id, visit)
            return found


def verdict(act):
    try:
        notes = act()
        return (0, "", *(notes or ()))
    except (ncz.Corrupt, ncz.Unsupported, ncz.OverLimit) as error:
        return error.status, str(error)
    except Exception as error:                            # of a reader that should have none
        return 1, repr(error)


def large(data):
    """Whether a tensor or the container is so large that a reader's own limit may come first."""
    try:
        file = ncz.File(data)
        return any(size_of(t) > LARGE for t in file.tensors) or (file.container or {}).get("size", 0) > LARGE
    except Exception:
        return False


def differ(a, b, rules, is_large):
    """Whether two answers are a disagreement."""
    (one, why), (other, because) = a, b
    if one == other:
        return one == 65 and rules <= SPELLED and bool(re.search(DIGEST, why)) != bool(re.search(DIGEST, because))
    if 75 in (one, other) and (is_large or 0 not in (one, other)):
        return False
    return 0 in (one, other) or rules == 1 and PERHAPS not in (why, because)


def judge(readers, path, answer, rules, sample):
    """What is wrong with the answers to one file."""
    data, problems = pathlib.Path(path).read_bytes(), []
    without, with_hdf5 = readers.python(path)
    c = readers.c(path)
    is_large = large(data)
    # The one status that a message in a batch does not prove is asked for again.
    if answer[0] != with_hdf5[0] or differ(answer, with_hdf5, rules, is_large):
        answer = readers.swift(path)[path]
    with_hdf5 = answer if with_hdf5[0] is None else with_hdf5    # h5py has died of the file
    for name, one in (("nc-info", answer), ("ncz.py", without), ("ncz.py", with_hdf5), ("reader.c", c)):
        if one[0] not in (0, 65, 69, 75):
            problems.append(f"{name}: {one[0]} {one[1][-300:]}")
    if not problems and differ(c, without, rules, is_large):
        problems.append(f"reader.c {c}, ncz.py {without}")
    if without[0] == 0:                                   # what only HDF5 finds: how it says so is not the format's
        rules = max(rules, MANY)
    elsewise = rules == IN_HDF5 and with_hdf5[0] == 0
    if not problems and differ(answer, with_hdf5, rules, is_large) and not elsewise:
        problems.append(f"nc-info {answer}, ncz.py {with_hdf5}")
    compared = 0
    if not problems and answer[0] == 0 and sample:
        compared = len(ncz.File(data).tensors)
        problems += compare_values(readers, path)
    return (answer[0], c[0], without[0], with_hdf5[0]), compared, problems


def compare_values(readers, path):
    """The values of all tensors that can be decoded."""
    file, problems, wanted = ncz.load(path), [], collections.Counter()
    names = [t["name"] for t in file.tensors if f"decoding {t['name']}" not in file.unsupported]
    for name in names:
        raw = file.raw(name)
        wanted[hashlib.sha256(raw).hexdigest()] += 1
        if readers.c_values(path, name) != raw:
            problems.append(f"reader.c has other values of {name!r}")
    found = readers.swift_values(path)
    # A network that takes tensors whose shapes do not fit it, and names that make no path of HDF5, are refused there.
    if type(found) is int and found in (65, 69) and (file.network is not None or len(names) < len(file.tensors)):
        return problems
    if names and found != wanted:
        problems.append(f"nc-restore --layout plain has other values: {found if type(found) is int else 'of ' + str(found.total()) + ' tensors'}")
    return problems


def table(readers):
    """All fixtures: what each reader must answer. How many agree, and what is wrong."""
    agree, problems, counts = 0, [], collections.defaultdict(collections.Counter)
    for folder in FOLDERS:
        paths = sorted((ROOT / "fixtures" / folder).glob("*.ncz"))
        answers = {str(path): readers.swift(str(path))[str(path)] for path in paths}
        for path in paths:
            said = json.loads(path.with_suffix(".json").read_text())
            wanted = {STATUS[word] for word in (said.get("verdict"), said.get("also")) if word} or {0}
            without, with_hdf5 = readers.python(str(path))
            found = {"nc-info": answers[str(path)], "ncz.py": with_hdf5, "without HDF5": without, "reader.c": readers.c(str(path))}
            # What is no HDF5 file, nc-info calls corrupt; what only a reader of HDF5 finds, reader.c does not.
            hdf5 = {65, 69} if with_hdf5[1] == PERHAPS else {65} if folder in ("cut", "unsupported") and with_hdf5[1] == NO_HDF5 else wanted
            bare = {0} if folder == "truth" else wanted
            wrong = [f"{name}: {found[name][0]} {found[name][1]}" for name, right in zip(found, (hdf5, hdf5, bare, bare)) if found[name][0] not in right]
            if "tensors" in said and not wrong:
                wrong += table_values(readers, path, said["tensors"])
            counts[folder].update([tuple(status for status, _ in found.values())])
            agree += not wrong
            problems += [f"{folder}/{path.name}: {what}" for what in wrong]
    for folder, statuses in counts.items():
        print(f"{folder}: {statuses.total()} files; (nc-info, ncz.py, the same without HDF5, reader.c): {dict(statuses)}")
    return agree, problems


def table_values(readers, path, tensors):
    """The values of the tensors of a fixture against its JSON."""
    problems, file = [], ncz.load(path)
    for tensor in tensors:
        if "verdict" in tensor:
            continue
        digest = tensor.get("sha256") or hashlib.sha256(bytes.fromhex(tensor["bytes"])).hexdigest()
        for name, raw in (("ncz.py", file.raw(tensor["name"])), ("reader.c", readers.c_values(path, tensor["name"]))):
            if hashlib.sha256(raw).hexdigest() != digest:
                problems.append(f"{name} has other values of {tensor['name']!r}")
    return problems or compare_values(readers, str(path))


state = None


def begin(*given):
    global state
    state = given
    os.nice(5)


def batch(numbers):
    """The mutants of these numbers."""
    readers, mutants = state
    results = []
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for number in numbers:
            try:
                data, name, rules = mutants.mutant(number)
            except Exception as error:                    # ncz.py refuses what was sound
                results.append((number, "making it", (1,), 0, [repr(error)]))
                continue
            path = os.path.join(folder, f"{number}.ncz")
            pathlib.Path(path).write_bytes(data)
            made[path] = number, name, rules
        try:
            answers = readers.swift(*made)
        except Exception as error:
            answers = dict.fromkeys(made, (1, repr(error)))
        for path, (number, name, rules) in made.items():
            try:
                results.append((number, name, *judge(readers, path, answers[path], rules, number % 8 == 0)))
            except Exception as error:
                results.append((number, name, (1,), 0, [repr(error)]))
    return results


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("--mutants", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--file", nargs="+")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        readers = Readers(options.tools, folder)
        if options.file:
            for path in options.file:
                print(path, judge(readers, path, readers.swift(path)[path], 1, True), readers.swift(path)[path], readers.python(path), readers.c(path))
            return 0
        from mutants import ncz_made
        mutants = NCZMutants(options.seed, ncz_made(str(readers.tools)))
        if options.only is not None:
            data, name, rules = mutants.mutant(options.only)
            path = options.keep / f"{options.seed}.{options.only}.ncz"
            path.write_bytes(data)
            print(name, rules)
            print(judge(readers, str(path), readers.swift(str(path))[str(path)], rules, True))
            return 0
        agree, problems = table(readers)
        print(f"fixtures: {agree} agree")
        sums, compared, failed = collections.Counter(), 0, len({problem.split(": ")[0] for problem in problems})
        for problem in problems:
            print("FAILED", problem)
        batches = [range(at, min(at + BATCH, options.mutants)) for at in range(0, options.mutants, BATCH)]
        with multiprocessing.Pool(options.workers, begin, (readers, mutants)) as pool:
            for results in pool.imap_unordered(batch, batches):
                for number, name, statuses, values_compared, wrong in results:
                    sums[statuses] += 1
                    compared += values_compared
                    failed += bool(wrong)
                    if wrong:
                        print("FAILED", f"seed {options.seed}, mutant {number} ({name}):", "; ".join(wrong[:4]), flush=True)
        if options.mutants:
            print(f"mutants, seed {options.seed}, (nc-info, reader.c, ncz.py without HDF5, with it): {dict(sums.most_common())}; values of {compared} tensors compared")
        print(f"{agree + sums.total() - failed + len({problem.split(': ')[0] for problem in problems})} passed, {failed} failed")
        return failed > 0


if __name__ == "__main__":
    sys.exit(main())
