// SPDX-License-Identifier: Apache-2.0

internal import Compression
internal import Formatting
internal import Glibc
internal import Matrices
public import Networks
internal import Parallel
public import SystemPackage
public import Tensors

/// How weights become few values, with the numbers that decide them.
public enum Quantization: Sendable, Equatable {
  /// Multiples of one step for all matrices, each with a scale of its own.
  case step(Double)
  /// A symmetric grid of 2ᴮ − 1 levels, with the best scale of each group.
  case bits(Int, ScaleGroup)
  /// The best K values of each matrix.
  case levels(Int)
}

/// What a network is quantised for.
public enum QuantizationTarget: Sendable, Equatable {
  case method(Quantization)
  /// The largest step whose relative L2 error over all matrices is at most this.
  case maxError(Double)
  /// The smallest step that gives a file of at most so many bytes.
  case size(Int)
}

extension NetworkFile {
  /// Writes this network as `.ncz` with quantised weight matrices.
  public func quantize(
    _ target: QuantizationTarget, to file: FileDescriptor, _ options: CompressingOptions
  ) throws(NetworkError) -> WritingReport {
    switch target {
    case .method(let quantization): return try apply(.quantize(quantization), to: file, options)
    case .maxError(let bound):
      let found = try uniformStep(maxError: bound, options.selection)
      guard found.isWithin else {
        throw NetworkError(
          .unusable, "no step has an error of at most \(bound): the smallest has \(significant(found.error, 3))")
      }
      var report = try apply(.quantize(.step(found.step)), to: file, options)
      // Without a matrix there was nothing to find a step for.
      guard report.tensors.contains(where: { $0.outcome == .changed }) else { return report }
      report.warnings.append(
        "--step \(found.step): relative L2 error \(significant(found.error, 4)) of at most \(bound)")
      return report
    case .size(let size):
      let step = try step(fitting: size, options)
      var limited = options
      limited.writing.limit = size
      var report = try apply(.quantize(.step(step)), to: file, limited)
      report.warnings.append("--step \(step) gives \(report.outputBytes) bytes, of at most \(size)")
      return report
    }
  }

  /// The largest step whose error is within a bound.
  private func uniformStep(maxError bound: Double, _ selection: Selection) throws(NetworkError) -> UniformStep {
    let chosen = try choose(by: selection).tensors.sorted()
    return try Compression.uniformStep(
      weights: chosen.map { tensors[$0].shape.count }, bound: bound, threads: options.threads
    ) { (number, body) throws(NetworkError) in
      try withValues(of: chosen[number]) { body(tensors[chosen[number]].matrix($0)) }
    }
  }

  /// The smallest step 2^(j/32) that gives a file of at most `size` bytes: the next smaller one gives more.
  ///
  /// Each trial quantises and encodes the whole network, to nowhere.
  private func step(fitting size: Int, _ options: CompressingOptions) throws(NetworkError) -> Double {
    let nowhere = try about { try FileDescriptor.open("/dev/null", .writeOnly) }
    defer { try? nowhere.close() }
    var trial = options
    trial.writing.trial = SizeTrial()
    // Digests of other content compress to a few bytes more or less.
    let room = size - 32 - 4 * tensors.count
    var known: [Int: Int] = [:]
    func bytes(_ j: Int) throws(NetworkError) -> Int {
      if let bytes = known[j] { return bytes }
      let bytes = try apply(.quantize(.step(exp2(Double(j) / 32))), to: nowhere, trial).outputBytes
      known[j] = bytes
      return bytes
    }
    // A step of more than twice the largest weight leaves zeros alone.
    let start = try uniformStep(maxError: 0.2, options.selection).step
    let empty = try uniformStep(maxError: 1, options.selection).step
    let last = Int((log2(empty) * 32).rounded())
    let least = try bytes(last)
    guard least <= room else {
      throw NetworkError(
        .overLimit,
        "takes \(least) bytes with all weights zero, more than the \(size) of --target-size"
          + (options.writing.hasContainer ? "; --container none takes fewer" : ""))
    }
    var fits = last
    var exceeds = Int((log2(start) * 32).rounded())
    var stride = 16
    // The network itself ends the search: a smaller step than 2⁻¹⁶ of the first changes nothing that counts.
    let first = exceeds - 32 * 16
    while exceeds > first, try bytes(exceeds) <= room {
      fits = min(fits, exceeds)
      exceeds -= stride
      stride *= 2
    }
    while fits - exceeds > 1 {
      let middle = (fits + exceeds) / 2
      if try bytes(middle) <= room { fits = middle } else { exceeds = middle }
    }
    return exp2(Double(fits) / 32)
  }
}

extension TensorRecord {
  /// Quantises the weights of a matrix.
  func quantizing(
    _ values: UnsafeRawBufferPointer, _ quantization: Quantization, threads: Threads
  ) throws(NetworkError) -> Compressed {
    let source = matrix(values)
    do throws(NonFiniteWeight) {
      switch quantization {
      case .step(let step):
        guard let result = try Compression.quantize(source, step: step, threads: threads) else {
          throw NonFiniteWeight(index: -1)
        }
        return changed(result.matrix, kept: result.nonzeroCount)
      case .bits(let bits, let group):
        let result = try Compression.quantize(source, bits: bits, group: group, threads: threads)
        return changed(result.matrix, kept: result.nonzeroCount)
      case .levels(let levels):
        let result = try Compression.quantize(source, levels: levels, threads: threads)
        return changed(result.matrix, kept: nil)
      }
    } catch {
      if error.index < 0 { throw NetworkError(.unusable, "a weight is more than 2²⁴ steps") }
      return .nonFinite(index: error.index)
    }
  }

  private func changed(_ matrix: LevelsMatrix, kept: Int?) -> Compressed {
    .changed(.weights(.levels(matrix, transposed: isTransposed)), kept: kept.map { Kept(count: $0, of: shape.count) })
  }
}
