// SPDX-License-Identifier: Apache-2.0

internal import Glibc
internal import HDF5
public import Networks
internal import Parallel
public import SystemPackage

/// The tools that were built together with the tests.
public enum BuiltTools {
  /// The folder of the running test bundle, which is that of the tools.
  public static let folder: FilePath = {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    guard readlink("/proc/self/exe", &buffer, buffer.count - 1) > 0 else { fatalError("no /proc/self/exe") }
    return FilePath(platformString: buffer).removingLastComponent()
  }()

  /// Lets tests read HDF5 in this process: the child that does it is one of the tools, not the test bundle.
  public static func serveHDF5() { _ = isServing }
  private static let isServing: Bool = {
    Session.executable = folder.appending("nc-info")
    return true
  }()
}

/// Opens a network in this process, for as long as the work takes.
public func withNetwork<Result>(
  _ file: OpenFile, threads: Int = 1, _ work: (NetworkFile) throws -> Result
) throws -> Result {
  BuiltTools.serveHDF5()
  return try file.with { file, size in
    try work(NetworkFile(file, size: size, options: ReadingOptions(memory: 1 << 30, threads: Threads(threads))))
  }
}
