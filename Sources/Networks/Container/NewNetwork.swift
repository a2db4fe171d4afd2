// SPDX-License-Identifier: Apache-2.0

internal import Codecs
internal import Matrices
internal import NCZ
package import SystemPackage
package import Tensors

/// A network that no file has yet: a graph, and the values of its tensors.
package struct NewNetwork {
  /// A tensor with its values.
  package struct Tensor {
    package var name: TensorName
    package var type: ElementType
    package var shape: Shape
    package var axes: MatrixAxes
    package var role: TensorRole
    package var weights: Weights
    /// The changes before, and the one that made it.
    package var history: [HistoryEntry]

    package init(
      name: TensorName, type: ElementType, shape: Shape, axes: MatrixAxes, role: TensorRole, weights: Weights,
      history: [HistoryEntry] = []
    ) {
      self.name = name
      self.type = type
      self.shape = shape
      self.axes = axes
      self.role = role
      self.weights = weights
      self.history = history
    }
  }

  package var network: Network
  package var tensors: [Tensor]
  /// What runs of programs did, of which histories name the numbers.
  package var steps: [Step]

  package init(network: Network, tensors: [Tensor], steps: [Step]) {
    self.network = network
    self.tensors = tensors
    self.steps = steps
  }

  /// Writes it as `.ncz` without container, and reads what was written again.
  ///
  /// - Returns: what became of each tensor, and the bytes of the file.
  package func write(
    to file: FileDescriptor, _ writing: WritingOptions, options: ReadingOptions
  ) throws(NetworkError) -> (tensors: [TensorReport], byteCount: Int) {
    try about {
      let isReadable = isReadable(file)
      let mirror = isReadable ? nil : try temporaryFile()
      defer { try? mirror?.close() }
      var writer = try Writer(to: file, mirror: mirror, codec: .zstd, isMapped: writing.isMapped)
      var reports: [TensorReport] = []
      for tensor in tensors {
        var record = tensor.record
        record.digest = NewValues.weights(tensor.weights).digest(
          type: tensor.type, shape: tensor.shape, threads: options.threads)
        let encoder = TensorEncoder(tensor: record, writing: writing, threads: options.threads, didReach: { _ in })
        let encoded = try encoder.encode(.weights(tensor.weights))
        record.encoding = encoded.encoding
        record.parts = try encoded.parts.map { try $0.write(to: &writer, isMirrored: false) }
        reports.append(TensorReport(tensor: record, storedBytes: encoded.byteCount, outcome: .changed))
      }
      let directory = Directory(
        container: nil, network: network, steps: steps, tensors: reports.map(\.tensor), extensions: [])
      let byteCount = try writer.finish(content: directory.json) { file, size in
        try check(file, size: size, isWhole: isReadable, options)
      }
      return (reports, byteCount)
    }
  }

  private func check(
    _ file: FileDescriptor, size: Int, isWhole: Bool, _ options: ReadingOptions
  ) throws(NetworkError) {
    let written = try NetworkFile(file, size: size, options: options)
    guard case .ncz(let source) = written.source, written.network == network else {
      throw NetworkError(.corrupt, "what was written has another network")
    }
    if isWhole { try about { try source.reader.checkBlocks() } }
  }
}

extension NewNetwork.Tensor {
  /// As a directory describes it, without what its encoding adds.
  fileprivate var record: TensorRecord {
    TensorRecord(
      name: name, path: nil, aliases: [], type: type, byteOrder: .little, shape: shape, role: role, axes: axes,
      encoding: .raw(planes: false), parts: [], digest: nil, history: history, place: nil)
  }
}

extension HistoryEntry {
  /// An entry for a step with its number in the file.
  ///
  /// - Parameter from: digest of the tensor before; `nil` of a tensor that the step made.
  package init(_ step: Step, number: Int, from: Digest?) {
    self.init(step, from: from, error: nil)
    stepNumber = number
  }
}
