#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compresses matrices of other layers than dense ones (--include) in networks made with the real Keras, and in a state
dictionary as PyTorch has it. What the decoded values of the independent reader (spec/ncz.py) predict, and what the restored
file predicts, is equal bit for bit; what was to change did, nothing else did, and a row of each matrix is one output.

    include_check.py TOOLS
"""
import io, json, logging, os, pathlib, subprocess, sys, tempfile, zipfile
os.environ["KERAS_BACKEND"] = "numpy"
logging.disable(logging.WARNING)                         # Keras calls .h5 legacy
import h5py, keras
import numpy as np
from keras import layers as L
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "spec"))
import ncz

tools = pathlib.Path(sys.argv[1]).resolve()
KINDS = ["convolution", "recurrent", "embedding", "attention"]
COMMANDS = [
    ["nc-ternarize"], ["nc-ternarize", "--scale-per", "5", "--sparsity", ".6"],
    ["nc-prune", "--keep", ".3"], ["nc-prune", "--keep", ".3", "--scope", "network"],
    ["nc-prune", "--max-error", ".3", "--values", "float16"], ["nc-prune", "--keep", ".4", "--values", "ternary"],
    ["nc-prune", "--keep", ".4", "--values", "levels:4"], ["nc-prune", "--by", "singular-value", "--keep", ".4"],
    ["nc-quantize"], ["nc-quantize", "--bits", "4"], ["nc-quantize", "--levels", "8"],
    ["nc-quantize", "--step", ".05", "--mapped"],
]
passed, failures = 0, []


def check(holds, what):
    global passed
    if holds: passed += 1
    else:
        failures.append(what)
        print("FAILED", what)


def run(*arguments, data=None, status=0):
    done = subprocess.run([str(tools / arguments[0]), "-q", *map(str, arguments[1:])], input=data, capture_output=True)
    if done.returncode != status:
        raise AssertionError(f"{' '.join(map(str, arguments))}: {done.returncode}: {done.stderr.decode()[:300]}")
    return done


def convolutional():
    x = image = keras.Input((12, 12, 3))
    conv, conv_t = L.Conv2D(8, 3, activation="relu"), L.Conv2DTranspose(6, 2)
    depthwise, separable, grouped = L.DepthwiseConv2D(3), L.SeparableConv2D(8, 3), L.Conv2D(4, 1, groups=2, use_bias=False)
    x = separable(depthwise(conv(x)))
    x = L.TimeDistributed(again := L.Conv1D(5, 2))(grouped(conv_t(x)))
    x = (dense := L.Dense(4))(L.Flatten()(x))
    return (keras.Model(image, x), lambda r: r.normal(size=(2, 12, 12, 3)).astype("f4"), [dense.kernel],
            {"convolution": [(conv.kernel, [3]), (separable.pointwise_kernel, [3]), (grouped.kernel, [3]), (again.kernel, [2])]})


def recurrent():
    x = words = keras.Input((6,), dtype="int32")
    embedding, lstm, gru, simple = L.Embedding(30, 12), L.LSTM(9, return_sequences=True), L.GRU(8, return_sequences=True), L.SimpleRNN(7, return_sequences=True)
    both, last = L.Bidirectional(L.LSTM(5, return_sequences=True)), L.GRU(6, reset_after=False)
    x = last(both(simple(gru(lstm(embedding(x))))))
    x = (dense := L.Dense(4))(x)
    cells = [lstm.cell, gru.cell, simple.cell, both.forward_layer.cell, both.backward_layer.cell, last.cell]
    return (keras.Model(words, x), lambda r: r.integers(0, 30, (3, 6)).astype("i4"), [dense.kernel],
            {"recurrent": [(w, [1]) for cell in cells for w in (cell.kernel, cell.recurrent_kernel)],
             "embedding": [(embedding.embeddings, [0])]})


def films():
    x = film = keras.Input((3, 8, 8, 2))
    conv_lstm = L.ConvLSTM2D(4, 3)
    x = (dense := L.Dense(3))(L.Flatten()(conv_lstm(x)))
    return (keras.Model(film, x), lambda r: r.normal(size=(2, 3, 8, 8, 2)).astype("f4"), [dense.kernel],
            {"recurrent": [(conv_lstm.cell.kernel, [3]), (conv_lstm.cell.recurrent_kernel, [3])]})


def attentive():
    x = series = keras.Input((5, 10))
    heads, grouped = L.MultiHeadAttention(3, 4), L.GroupQueryAttention(5, 4, 2)
    wide, split, joined = L.EinsumDense("abc,cd->abd", (5, 12), bias_axes="d"), L.EinsumDense("abx,xyz->abyz", (5, 3, 4), bias_axes="yz"), L.EinsumDense("...yz,yzo->...o", 6)
    # An output axis on either side of the one that is summed over: no matrix whose rows follow each other.
    middle = L.EinsumDense("abc,dce->abde", (5, 2, 3))
    x = L.Add()([heads(x, x), grouped(x, x)])
    x = middle(joined(split(wide(x))))
    x = (dense := L.Dense(4))(L.Flatten()(x))
    einsums = [heads.query_dense, heads.key_dense, heads.value_dense, grouped._query_dense, grouped._key_dense, grouped._value_dense]
    return (keras.Model(series, x), lambda r: r.normal(size=(2, 5, 10)).astype("f4"), [dense.kernel],
            {"attention": [(layer.kernel, [1, 2]) for layer in einsums] + [(heads.output_dense.kernel, [2]), (grouped._output_dense.kernel, [2]),
                           (wide.kernel, [1]), (split.kernel, [1, 2]), (joined.kernel, [2])]})


def matrix(values, outputs):
    """Outputs × everything else."""
    rest = [axis for axis in range(values.ndim) if axis not in outputs]
    rows = int(np.prod([values.shape[axis] for axis in outputs]))
    return np.transpose(values, outputs + rest).reshape(rows, -1)


def is_of_rows(command, rows, before):
    """Whether the values could have come from these rows of the matrix before."""
    if command == ["nc-ternarize"] or "ternary" in command:
        scales = [np.unique(np.abs(row[row != 0])) for row in rows]
        kept = [np.abs(row[new != 0]) for row, new in zip(before, rows)]
        return all(len(scale) <= 1 for scale in scales) and all(
            np.allclose(scale, values.mean(), rtol=1e-5) for scale, values in zip(scales, kept) if len(scale))
    if "singular-value" in command:
        return np.linalg.matrix_rank(rows.astype("f8"), tol=1e-5 * np.linalg.norm(rows)) <= -(-min(rows.shape) * 4 // 10)
    if command == ["nc-quantize", "--bits", "4"]:
        return all(len(np.unique(np.abs(row))) <= 8 for row in rows)
    return True


def original(path):
    """The HDF5 file, also inside a .keras archive."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            path = io.BytesIO(archive.read("model.weights.h5"))
    return h5py.File(path, "r")


def decoded(source, packed):
    """Values of the tensors before → after, as bytes, where a step changed them; and the file."""
    file, changes = ncz.load(packed), {}
    with original(source) as before:
        for tensor in file.tensors:
            if tensor["history"]: changes[before[tensor["path"]][()].tobytes()] = file.raw(tensor["name"])
    return changes, file


def check_history(source, packed):
    """Every step is done again and gives what was recorded."""
    said = json.loads(run("nc-verify", "--measure", "weights", "--json", source, packed).stdout)
    claims, changed = said["claims"], [tensor for tensor in said["tensors"] if not tensor["equal"]]
    check(claims and all(claim["status"] == "holds" for claim in claims), f"{source.name}: {claims}")
    check(all(tensor["spectral_error"] is not None for tensor in changed), f"{source.name}: the σ₁ error of each matrix")


def compare(source, packed, given, network, sample, expected, what, command=None):
    """The restored network against the original one with decoded values, and against what was to change."""
    changes, file = decoded(source, packed)
    count = 0
    for weight, first in zip(given.weights, network.weights):
        before = np.asarray(first.value)
        weight.assign(before)
        if (after := changes.get(before.tobytes())) is not None:
            weight.assign(np.frombuffer(after, before.dtype).reshape(before.shape))
            count += 1
    check(count == len(changes), f"{what}: {len(changes)} tensors changed, {count} of them weights of the model")
    again = packed.with_name("restored" + source.suffix)
    run("nc-restore", "-f", packed, again)
    restored = keras.models.load_model(again, compile=False)
    check(np.array_equal(given.predict(sample, verbose=0), restored.predict(sample, verbose=0)), f"{what}: predictions")
    outputs = {id(weight): axes for weight, axes in expected}
    for weight, new in zip(network.weights, restored.weights):
        before, after = np.asarray(weight.value), np.asarray(new.value)
        changed = before.tobytes() != after.tobytes()
        if id(weight) in outputs:
            check(changed, f"{what}: {weight.path} did not change")
            if command:
                axes = outputs[id(weight)]
                check(is_of_rows(command, matrix(after, axes), matrix(before, axes)), f"{what}: {weight.path}: its rows are no outputs")
        else:
            check(not changed, f"{what}: {weight.path} changed")
    return file


def sketch(file):
    """How the tensors of other layers than dense ones are seen as matrices."""
    return sorted(str((t["shape"], t["role"], t["axes"], t["outputs"])) for t in file.tensors if t["role"] in KINDS)


def check_keras(folder):
    for make in (convolutional, recurrent, films, attentive):
        keras.utils.set_random_seed(7)
        network, samples, dense, kinds = make()
        random = np.random.default_rng(7)
        for weight in network.weights:                       # biases too
            weight.assign(random.normal(0, .2, weight.shape).astype("f4"))
        sample = samples(random)
        dense = [(weight, [1]) for weight in dense]
        for end in (".keras", ".h5"):
            source, packed = folder / (make.__name__ + end), folder / "packed.ncz"
            network.save(source)
            given = keras.models.load_model(source, compile=False)
            run("nc-ternarize", "-f", source, packed)
            compare(source, packed, given, network, sample, dense, f"{source.name}: nc-ternarize", ["nc-ternarize"])
            for command in COMMANDS if end == ".keras" else COMMANDS[::4]:
                what = f"{source.name}: {' '.join(command)}"
                for kind, matrices in kinds.items():
                    run(*command, "--include", kind, "-f", source, packed)
                    compare(source, packed, given, network, sample, dense + matrices, f"{what} --include {kind}", command)
                    check_history(source, packed)
            for kind, matrices in kinds.items():
                what = f"{source.name}: nc-quantize | nc-prune, --include {kind}"
                first = run("nc-quantize", "--include", kind, source).stdout
                packed.write_bytes(run("nc-prune", "--keep", ".5", "--include", kind, data=first).stdout)
                file = compare(source, packed, given, network, sample, dense + matrices, what)
                check(sum(len(t["history"]) == 2 for t in file.tensors) == len(dense + matrices), f"{what}: two steps")
                check_history(source, packed)
                # A plain file says the axes.
                plain = folder / "plain.h5"
                run("nc-restore", "-f", "--layout", "plain", packed, plain)
                again = folder / "again.ncz"
                run("nc-ternarize", "--include", kind, "-f", plain, again)
                other = ncz.load(again)
                check(sketch(other) == sketch(file), f"{what}: axes in a plain file")
                check(sum(len(t["history"]) == 1 for t in other.tensors) == len(dense + matrices), f"{what}: plain, then nc-ternarize")
                # One of them alone, and all but one.
                names = [t["name"] for t in file.tensors if t["role"] == kind and t["history"]]
                for option, count in (("--only", 1), ("--except", len(dense + matrices) - 1)):
                    run("nc-ternarize", "--include", kind, option, names[0], "-f", source, packed)
                    check(sum(bool(t["history"]) for t in ncz.load(packed).tensors) == count, f"{what}: {option} {names[0]}")
                failed = run("nc-ternarize", "--only", names[0], source, "-n", status=64)
                check(f"--include {kind}" in failed.stderr.decode(), f"{what}: --only without --include: {failed.stderr}")
        every = ",".join(kinds)
        run("nc-quantize", "--include", every, "-f", source, packed)
        compare(source, packed, given, network, sample, dense + sum(kinds.values(), []), f"{source.name}: --include {every}")


def check_pytorch(folder):
    """As torch.nn's modules write their state."""
    random = np.random.default_rng(3)
    shapes = {
        "conv1.weight": (8, 3, 3, 3), "conv1.bias": (8,), "conv2.weight": (6, 4, 5), "depthwise.weight": (8, 1, 3, 3), "depthwise.bias": (8,),
        "up.weight": (8, 4, 2, 2), "up.bias": (4,), "decoder.conv_transpose.weight": (6, 6, 2, 2), "decoder.conv_transpose.bias": (6,),
        "lstm.weight_ih_l0": (24, 10), "lstm.weight_hh_l0": (24, 6), "lstm.bias_ih_l0": (24,), "lstm.bias_hh_l0": (24,),
        "embedding.weight": (40, 10), "attn.in_proj_weight": (36, 12), "attn.in_proj_bias": (36,), "attn.out_proj.weight": (12, 12), "attn.out_proj.bias": (12,),
        "fc.weight": (5, 12), "fc.bias": (5,), "bn.weight": (8,), "bn.running_mean": (8,),
    }
    taken = {"convolution": ["conv1.weight", "conv2.weight"], "recurrent": ["lstm.weight_ih_l0", "lstm.weight_hh_l0"],
             "embedding": ["embedding.weight"], "attention": ["attn.in_proj_weight"]}
    dense = ["attn.out_proj.weight", "fc.weight"]
    values = {name: random.normal(0, .2, shape).astype("f4") for name, shape in shapes.items()}
    source, packed, again = folder / "torch.h5", folder / "torch.ncz", folder / "torch_again.h5"
    with h5py.File(source, "w") as file:
        for name, array in values.items(): file[name] = array
    for command in COMMANDS:
        for kind, names in taken.items():
            what = f"{source.name}: {' '.join(command)} --include {kind}"
            run(*command, "--include", kind, "-f", source, packed)
            run("nc-restore", "-f", packed, again)
            check_history(source, packed)
            file = ncz.load(packed)
            with h5py.File(again) as restored:
                for name, before in values.items():
                    after = restored[name][()]
                    check(after.tobytes() == file.raw(name), f"{what}: {name}: restored, and as the reader decodes it")
                    check((after.tobytes() != before.tobytes()) == (name in names + dense), f"{what}: {name}: changed or not")
                    if name in names:
                        check(is_of_rows(command, matrix(after, [0]), matrix(before, [0])), f"{what}: {name}: its rows are no outputs")


def check_usage(folder):
    source = folder / "recurrent.keras"
    for tool, *options in (["nc-ternarize"], ["nc-prune", "--keep", ".5"], ["nc-quantize"]):
        for words in ("dense", "", "convolution,", "convolution,all", "Recurrent"):
            failed = run(tool, *options, "--include", words, "-n", source, status=64).stderr.decode()
            check(all(kind in failed for kind in KINDS), f"{tool} --include '{words}': {failed}")
        said = subprocess.run([tools / tool, *options, "-n", source], capture_output=True).stderr.decode()
        check("--include recurrent changes it" in said, f"{tool}: {said}")
        said = subprocess.run([tools / tool, *options, "--include", "convolution", "-n", source], capture_output=True).stderr.decode()
        check("--include convolution: there is no such matrix" in said, f"{tool}: {said}")
    failed = run("nc-prune", "--by", "node", "--keep", ".5", "--include", "recurrent", "-n", source, status=64)
    check("dense" in failed.stderr.decode(), "--by node --include")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for part in (check_keras, check_pytorch, check_usage):
        part(folder)
        print(f"{part.__name__}: {passed} passed, {len(failures)} failed", flush=True)
print(f"{passed} passed, {len(failures)} failed")
sys.exit(bool(failures))
