// SPDX-License-Identifier: Apache-2.0

/// Configurations as Keras 3.15.1 wrote them.
enum Configurations {
  /// `model_config` of a `Sequential` of three `Dense` layers.
  static let digitsRelu = #"""
    {"class_name": "Sequential", "config": {"name": "digits_relu", "trainable": true, "dtype": {"module": \#
    "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}, "layers": \#
    [{"class_name": "InputLayer", "config": {"batch_shape": [null, 64], "dtype": "float32", "sparse": false, \#
    "ragged": false, "name": "input_layer", "optional": false}}, {"class_name": "Dense", "config": {"name": \#
    "fc1", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": \#
    "float32"}, "registered_name": null}, "units": 64, "activation": "relu", "use_bias": true, \#
    "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": \#
    null, "input_axes": null, "output_axes": null}, "registered_name": null}, "bias_initializer": {"module": \#
    "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": null}, "kernel_regularizer": \#
    null, "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null, "quantization_config": \#
    null}}, {"class_name": "Dense", "config": {"name": "fc2", "trainable": true, "dtype": {"module": "keras", \#
    "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}, "units": 32, \#
    "activation": "relu", "use_bias": true, "kernel_initializer": {"module": "keras.initializers", \#
    "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": null, "output_axes": null}, \#
    "registered_name": null}, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", \#
    "config": {}, "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, \#
    "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}}, {"class_name": "Dense", \#
    "config": {"name": "fc3", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", \#
    "config": {"name": "float32"}, "registered_name": null}, "units": 10, "activation": "softmax", "use_bias": \#
    true, "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": \#
    {"seed": null, "input_axes": null, "output_axes": null}, "registered_name": null}, "bias_initializer": \#
    {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": null}, \#
    "kernel_regularizer": null, "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null, \#
    "quantization_config": null}}], "build_input_shape": [null, 64]}}
    """#

  /// `model_config` of a `Functional` with two branches.
  static let digitsBranch = #"""
    {"class_name": "Functional", "config": {"name": "two_branch", "trainable": true, "layers": [{"class_name": \#
    "InputLayer", "config": {"batch_shape": [null, 64], "dtype": "float32", "sparse": false, "ragged": false, \#
    "name": "pixels", "optional": false}, "name": "pixels", "inbound_nodes": []}, {"class_name": "Dense", \#
    "config": {"name": "dense", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", \#
    "config": {"name": "float32"}, "registered_name": null}, "units": 96, "activation": "tanh", "use_bias": \#
    true, "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": \#
    {"seed": null, "input_axes": null, "output_axes": null}, "registered_name": null}, "bias_initializer": \#
    {"module": "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": null}, \#
    "kernel_regularizer": null, "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null, \#
    "quantization_config": null}, "name": "dense", "inbound_nodes": [{"args": [{"class_name": \#
    "__keras_tensor__", "config": {"shape": [null, 64], "dtype": "float32", "keras_history": ["pixels", 0, \#
    0]}}], "kwargs": {}}]}, {"class_name": "Dropout", "config": {"name": "dropout", "trainable": true, "dtype": \#
    {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}, \#
    "rate": 0.2, "seed": null, "noise_shape": null}, "name": "dropout", "inbound_nodes": [{"args": \#
    [{"class_name": "__keras_tensor__", "config": {"shape": [null, 96], "dtype": "float32", "keras_history": \#
    ["dense", 0, 0]}}], "kwargs": {"training": false}}]}, {"class_name": "Dense", "config": {"name": "dense_1", \#
    "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, \#
    "registered_name": null}, "units": 48, "activation": "sigmoid", "use_bias": true, "kernel_initializer": \#
    {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": \#
    null, "output_axes": null}, "registered_name": null}, "bias_initializer": {"module": "keras.initializers", \#
    "class_name": "Zeros", "config": {}, "registered_name": null}, "kernel_regularizer": null, \#
    "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}, \#
    "name": "dense_1", "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": \#
    [null, 96], "dtype": "float32", "keras_history": ["dropout", 0, 0]}}], "kwargs": {}}]}, {"class_name": \#
    "Dense", "config": {"name": "dense_2", "trainable": true, "dtype": {"module": "keras", "class_name": \#
    "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}, "units": 48, "activation": "elu", \#
    "use_bias": true, "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", \#
    "config": {"seed": null, "input_axes": null, "output_axes": null}, "registered_name": null}, \#
    "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", "config": {}, \#
    "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, "kernel_constraint": null, \#
    "bias_constraint": null, "quantization_config": null}, "name": "dense_2", "inbound_nodes": [{"args": \#
    [{"class_name": "__keras_tensor__", "config": {"shape": [null, 96], "dtype": "float32", "keras_history": \#
    ["dropout", 0, 0]}}], "kwargs": {}}]}, {"class_name": "Concatenate", "config": {"name": "concatenate", \#
    "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, \#
    "registered_name": null}, "axis": -1}, "name": "concatenate", "inbound_nodes": [{"args": [[{"class_name": \#
    "__keras_tensor__", "config": {"shape": [null, 48], "dtype": "float32", "keras_history": ["dense_1", 0, \#
    0]}}, {"class_name": "__keras_tensor__", "config": {"shape": [null, 48], "dtype": "float32", \#
    "keras_history": ["dense_2", 0, 0]}}]], "kwargs": {}}]}, {"class_name": "Dense", "config": {"name": \#
    "dense_3", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": \#
    "float32"}, "registered_name": null}, "units": 32, "activation": "leaky_relu", "use_bias": true, \#
    "kernel_initializer": {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": \#
    null, "input_axes": null, "output_axes": null}, "registered_name": null}, "bias_initializer": {"module": \#
    "keras.initializers", "class_name": "Zeros", "config": {}, "registered_name": null}, "kernel_regularizer": \#
    null, "bias_regularizer": null, "kernel_constraint": null, "bias_constraint": null, "quantization_config": \#
    null}, "name": "dense_3", "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": \#
    {"shape": [null, 96], "dtype": "float32", "keras_history": ["concatenate", 0, 0]}}], "kwargs": {}}]}, \#
    {"class_name": "Dense", "config": {"name": "head", "trainable": true, "dtype": {"module": "keras", \#
    "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": null}, "units": 10, \#
    "activation": "softmax", "use_bias": true, "kernel_initializer": {"module": "keras.initializers", \#
    "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": null, "output_axes": null}, \#
    "registered_name": null}, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", \#
    "config": {}, "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, \#
    "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}, "name": "head", \#
    "inbound_nodes": [{"args": [{"class_name": "__keras_tensor__", "config": {"shape": [null, 32], "dtype": \#
    "float32", "keras_history": ["dense_3", 0, 0]}}], "kwargs": {}}]}], "input_layers": ["pixels", 0, 0], \#
    "output_layers": ["head", 0, 0]}}
    """#

  /// `config.json` of a `.keras` archive whose variables are bfloat16.
  static let bfloat16 = #"""
    {"module": "keras", "class_name": "Sequential", "config": {"name": "sequential", "trainable": true, \#
    "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}, \#
    "registered_name": null, "shared_object_id": 139933344207248}, "layers": [{"module": "keras.layers", \#
    "class_name": "InputLayer", "config": {"batch_shape": [null, 64], "dtype": "float32", "sparse": false, \#
    "ragged": false, "name": "input_layer", "optional": false}, "registered_name": null}, {"module": \#
    "keras.layers", "class_name": "Dense", "config": {"name": "fc1", "trainable": true, "dtype": {"module": \#
    "keras", "class_name": "DTypePolicy", "config": {"name": "bfloat16"}, "registered_name": null}, "units": \#
    64, "activation": "relu", "use_bias": true, "kernel_initializer": {"module": "keras.initializers", \#
    "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": null, "output_axes": null}, \#
    "registered_name": null}, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", \#
    "config": {}, "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, \#
    "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}, "registered_name": null, \#
    "build_config": {"input_shape": [null, 64]}}, {"module": "keras.layers", "class_name": "Dense", "config": \#
    {"name": "fc2", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": \#
    {"name": "bfloat16"}, "registered_name": null, "shared_object_id": 139933344207248}, "units": 32, \#
    "activation": "relu", "use_bias": true, "kernel_initializer": {"module": "keras.initializers", \#
    "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": null, "output_axes": null}, \#
    "registered_name": null}, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", \#
    "config": {}, "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, \#
    "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}, "registered_name": null, \#
    "build_config": {"input_shape": [null, 64]}}, {"module": "keras.layers", "class_name": "Dense", "config": \#
    {"name": "fc3", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": \#
    {"name": "bfloat16"}, "registered_name": null, "shared_object_id": 139933344207248}, "units": 10, \#
    "activation": "softmax", "use_bias": true, "kernel_initializer": {"module": "keras.initializers", \#
    "class_name": "GlorotUniform", "config": {"seed": null, "input_axes": null, "output_axes": null}, \#
    "registered_name": null}, "bias_initializer": {"module": "keras.initializers", "class_name": "Zeros", \#
    "config": {}, "registered_name": null}, "kernel_regularizer": null, "bias_regularizer": null, \#
    "kernel_constraint": null, "bias_constraint": null, "quantization_config": null}, "registered_name": null, \#
    "build_config": {"input_shape": [null, 32]}}], "build_input_shape": [null, 64]}, "registered_name": null, \#
    "build_config": {"input_shape": [null, 64]}, "compile_config": {}}
    """#
}
