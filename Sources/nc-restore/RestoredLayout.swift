// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Networks
import Transforms

extension Restore {
  /// The layout that was asked for, or else the first that there can be, and what is to be said of it.
  func layout(of network: NetworkFile) -> (RestoredLayout, note: String?) {
    if let layout { return (layout, nil) }
    guard let reason = network.reasonWithoutContainer else { return (.container, nil) }
    guard let obstacle = network.reasonAgainstKeras else { return (.keras, "\(reason): built anew as a Keras file") }
    return (.plain, "\(reason): built anew as plain HDF5: \(obstacle)")
  }

  /// What is to be said of a name under which Keras takes the file for another kind.
  static func note(onName name: String?, isArchive: Bool) -> String? {
    guard let name = name?.lowercased() else { return nil }
    if isArchive, name.hasSuffix(".h5") || name.hasSuffix(".hdf5") {
      return "the output is a zip archive of Keras 3, which Keras opens as *.keras only"
    }
    if !isArchive, name.hasSuffix(".keras") { return "the output is HDF5, which Keras opens as *.h5 only" }
    return nil
  }
}

/// What the written file is like.
enum RestoredLayout: String, CaseIterable, ExpressibleByArgument {
  case container, keras, plain
}

/// How large its layers are.
enum RestoredShape: String, CaseIterable, ExpressibleByArgument {
  case source, reduced
}
