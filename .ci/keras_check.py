#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loads every restored Keras file in FOLDERs with the real Keras, and compares its predictions with those of the original
model given the decoded weights: equal bit for bit, since both are computed by the same operations from the same numbers.

    keras_check.py TOOLS FOLDER…
"""
import io, os, pathlib, re, shutil, subprocess, sys, tempfile, zipfile
os.environ["KERAS_BACKEND"] = "numpy"                    # nothing is compiled: a model loads in milliseconds
import h5py, keras
import numpy as np
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "spec"))
import ncz

tools = pathlib.Path(sys.argv[1]).resolve()


class Skipped(Exception):
    pass


def hdf5(path):
    """The HDF5 file, also inside a .keras archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            path = io.BytesIO(archive.read(next(name for name in archive.namelist() if name.endswith(".h5"))))
    return h5py.File(path, "r")


def architecture(source):
    """The file with the whole model: itself, or one of the same name, best beside it."""
    stem = re.sub(r"(\.sharded)?(\.weights)?\.(h5|hdf5|keras|json)$", "", source.name)
    folders = [source.parent, *sys.argv[2:]]
    whole = [path for folder in folders for end in (".keras", ".h5") for path in sorted(pathlib.Path(folder).rglob(stem + end))]
    for path in whole if ".weights." in source.name else [source]:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                config = archive.read("config.json").decode()
        else:
            with h5py.File(path) as file:
                config = file.attrs.get("model_config", "")
        config = config.decode() if isinstance(config, bytes) else config
        if "Lambda" in config or "__lambda__" in config:
            raise Skipped("its configuration has code")
        if config:
            return path
    raise Skipped("no architecture")


def model(path, weights=None):
    try:
        result = keras.models.load_model(path, compile=False)
        if weights:
            result.load_weights(weights)
        return result
    except Exception as error:
        raise Skipped(f"this Keras does not load it: {type(error).__name__}: {str(error).splitlines()[0]:.80}")


def decoded(source, packed):
    """Values of the changed tensors before → after, as bytes."""
    file, result = ncz.load(packed), {}
    with hdf5(source) as original:
        for tensor in file.tensors:
            if tensor["history"] and tensor["role"] == "kernel":
                dataset = original[tensor["path"]]
                before = np.empty(dataset.shape, np.dtype((np.void, dataset.dtype.itemsize)))
                dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, before, dataset.id.get_type())
                result[before.tobytes()] = file.raw(tensor["name"])
    return result


def give(network, changes):
    """Replaces each weight that has the values before by those after; says how many."""
    count = 0
    for weight in network.weights:
        before = np.asarray(weight.value)
        after = changes.get(before.tobytes())
        if after is not None:
            weight.assign(np.frombuffer(after, before.dtype).reshape(before.shape))
            count += 1
    return count


def inputs(source, network):
    known = list(source.parent.glob(source.name.split(".")[0] + ".ref.h5"))
    if known:
        with h5py.File(known[0]) as file:
            return file["x"][:64]
    shape = [64] + [n or 8 for n in network.input_shape[1:]]
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def through(source, folder):
    """Ternarizes and restores one file; the restored file and the changed values."""
    packed, restored = folder / (source.name + ".ncz"), folder / source.name
    subprocess.run([tools / "nc-ternarize", "-q", source, packed], check=True, timeout=120)
    subprocess.run([tools / "nc-restore", "-q", packed, restored], check=True, timeout=120)
    return restored, decoded(source, packed)


def check(source, folder):
    whole = architecture(source)
    if source.suffix == ".json":                         # a sharded file: this index, and the shards beside it
        changes, restored = {}, shutil.copy(source, folder)
        for shard in source.parent.glob(source.name.replace(".weights.json", "_*.weights.h5")):
            changes |= through(shard, folder)[1]
    else:
        restored, changes = through(source, folder)
    weights = source if whole != source else None
    original = model(whole, weights)
    given = give(original, changes)
    if given < len(changes):
        raise AssertionError(f"only {given} of {len(changes)} changed tensors are weights of the model")
    again = keras.models.load_model(whole if weights else restored, compile=False)
    if weights:
        again.load_weights(restored)
    for a, b in zip(original.weights, again.weights, strict=True):
        if np.asarray(a.value).tobytes() != np.asarray(b.value).tobytes():
            raise AssertionError(f"{a.path} differs")
    x = inputs(source, original)
    y, z = (np.asarray(keras.ops.convert_to_numpy(network.predict(x, verbose=0))) for network in (original, again))
    if y.tobytes() != z.tobytes() or not y.size:
        raise AssertionError(f"predictions differ by {np.abs(y - z).max()}")
    return f"{given} of {len(original.weights)} weights changed, {y.size} predictions equal"


def each(sources, check, skips):
    """Checks files one by one, says what of each, and gives the exit status; `skips` are the outcomes of exceptions that are no failures."""
    count = {"passed": 0, "failed": 0} | dict.fromkeys(skips.values(), 0)
    for source in sources:
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome, what = "passed", check(source, pathlib.Path(folder))
            except subprocess.CalledProcessError as error:
                outcome, what = "failed", error.stderr.strip() if isinstance(error.stderr, str) else f"CalledProcessError: {error}"
            except tuple(skips) as reason:
                outcome, what = skips[type(reason)], reason
            except Exception as error:
                outcome, what = "failed", f"{type(error).__name__}: {error}"
        count[outcome] += 1
        print(outcome.upper() if outcome == "failed" else outcome, f"{source.name}: {what}", flush=True)
    print(f"Keras {keras.__version__}\n" + ", ".join(f"{n} {outcome}" for outcome, n in count.items()))
    return count["failed"] > 0 or not count["passed"]


def main():
    return each(sorted(path for folder in sys.argv[2:] for path in pathlib.Path(folder).rglob("*")
                       if re.search(r"\.(h5|hdf5|keras|weights\.json)$", path.name) and not re.search(r"\.ref\.h5$|_\d{5}\.weights", path.name)),
                check, {Skipped: "skipped"})


if __name__ == "__main__":
    sys.exit(main())
