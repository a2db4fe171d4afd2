#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Features of a small convolutional network, for `nc-experiments memory`.

    features.py TRAIN.h5 TEST.h5 OUT_TRAIN.h5 OUT_TEST.h5

A network is trained on TRAIN (x: samples × 784 grey values, y: labels); x of the files written are the 256 numbers before its last
layer. Keras with JAX on a CPU; weights and order of samples come from the seed 1. The test set has no part in the training.
"""
import os, sys
os.environ.setdefault("KERAS_BACKEND", "jax")
import h5py
import keras
import numpy as np

def samples(path):
    with h5py.File(path) as file:
        return file["x"][:].astype(np.float32).reshape(-1, 28, 28, 1) / 255, file["y"][:]

keras.utils.set_random_seed(1)
layers = keras.layers
inputs = keras.Input((28, 28, 1))
h = layers.Conv2D(32, 5, strides=2, padding="same", activation="relu")(inputs)
h = layers.Conv2D(64, 3, strides=2, padding="same", activation="relu")(h)
features = layers.Dense(256, activation="relu")(layers.Flatten()(h))
model = keras.Model(inputs, layers.Dense(10)(layers.Dropout(0.5)(features)))
model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
x, y = samples(sys.argv[1])
model.fit(x, y, batch_size=128, epochs=6, verbose=2)
extractor = keras.Model(inputs, features)
for source, target in zip(sys.argv[1:3], sys.argv[3:5]):
    x, y = samples(source)
    with h5py.File(target, "w") as file:
        file["x"] = extractor.predict(x, batch_size=500, verbose=0)
        file["y"] = y
print("accuracy of the network on the test set:", model.evaluate(*samples(sys.argv[2]), verbose=0)[1])
