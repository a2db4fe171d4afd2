// swift-tools-version: 6.2
// SPDX-License-Identifier: Apache-2.0
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

// The command line of every tool: options, help, completions.
let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
// File descriptors, paths as bytes, errno as a Swift error.
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, exclude: ["README.md"], swiftSettings: strict)
}

func tool(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .executableTarget(
    name: name,
    dependencies: [
      "Networks", "Transforms", "Measures", "ToolSupport", "Formatting", "Tensors", argumentParser, system,
    ] + dependencies,
    swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], data: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies + [system], exclude: data, swiftSettings: strict)
}

let package = Package(
  name: "nc",
  products: [
    .executable(name: "nc-ternarize", targets: ["nc-ternarize"]),
    .executable(name: "nc-quantize", targets: ["nc-quantize"]),
    .executable(name: "nc-prune", targets: ["nc-prune"]),
    .executable(name: "nc-restore", targets: ["nc-restore"]),
    .executable(name: "nc-info", targets: ["nc-info"]),
    .executable(name: "nc-run", targets: ["nc-run"]),
    .executable(name: "nc-verify", targets: ["nc-verify"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
  ],
  targets: [
    // C: libraries of the system, and our own inner loops.
    .systemLibrary(name: "CHDF5", providers: [.apt(["libhdf5-dev"])]),
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    // OpenBLAS (libopenblas-dev), opened by the tools that need it when they need it.
    .target(name: "COpenBLAS"),
    .target(name: "CLoops", exclude: ["README.md"]),
    // Arguments and signals of a process.
    .target(name: "CProcess"),
    // The seccomp filter is made of C macros and numbers of system calls; `CHDF5`, of the system, compiles nothing.
    .target(name: "CSandbox"),

    // Foundations: import nothing of ours.
    module("Tensors"),
    module("Formatting"),
    module("Parallel"),
    module("Random"),
    module("JSON", ["Formatting"]),
    module("Plots", ["Formatting"]),

    // Specialists: know nothing of each other.
    module("HDF5", ["CHDF5", "CSandbox", "Tensors", system]),
    module("NCZ", ["CLoops", "JSON", system]),
    module("Codecs", ["CZstd", "CLoops", "Tensors", "Parallel"]),
    module("Maths", ["COpenBLAS", "CLoops", "Tensors", "Parallel", "Random"]),
    module("Matrices", ["CLoops", "Tensors", "Parallel"]),
    module("Compression", ["CLoops", "Matrices", "Maths", "Tensors", "Parallel"]),

    // Joins.
    module(
      "Networks",
      ["HDF5", "NCZ", "Codecs", "CLoops", "Matrices", "Tensors", "JSON", "Formatting", "Parallel", "Random", system]),
    module(
      "Transforms",
      [
        "Networks", "HDF5", "Compression", "Matrices", "Maths", "Tensors", "JSON", "Formatting", "Parallel", "Random",
        system,
      ]),
    module(
      "Measures",
      [
        "Transforms", "Networks", "HDF5", "NCZ", "Compression", "Matrices", "Maths", "Tensors", "JSON", "Parallel",
        "Random", "Formatting", "Plots", system,
      ]),
    module(
      "ToolSupport",
      ["CProcess", "Networks", "Formatting", "Parallel", "Tensors", argumentParser, system]),

    // Tools.
    tool("nc-ternarize", ["Compression", "Maths"]),
    tool("nc-restore", ["JSON"]),
    tool("nc-info", ["HDF5", "JSON"]),
    tool("nc-prune", ["Compression"]),
    tool("nc-quantize"),
    tool("nc-run", ["JSON"]),
    tool("nc-verify", ["JSON"]),
    // Not installed: measures inner loops and whole tools.
    tool("nc-bench", ["Codecs", "Compression", "Maths", "Matrices", "CLoops", "Random", "Parallel", "JSON"]),
    // Not installed: runs what the documentation shows the results of.
    tool("nc-experiments", ["Compression", "JSON", "Maths", "Parallel", "Plots", "Random"]),

    tests("HDF5Tests", ["HDF5", "Random", "Tensors", "nc-info"], data: ["Files"]),
    // Shared by tests: fixtures, scratch files, the built tools.
    .target(
      name: "TestSupport", dependencies: ["HDF5", "Networks", "Parallel", system], path: "Tests/TestSupport",
      swiftSettings: strict),
    tests("NCZTests", ["NCZ", "JSON", "Random", "TestSupport"]),
    tests(
      "NetworksTests",
      [
        "Networks", "Transforms", "Measures", "Codecs", "Compression", "HDF5", "JSON", "Maths", "Matrices", "NCZ",
        "Parallel", "Random", "Tensors",
        "TestSupport",
      ]),
    tests(
      "ToolSupportTests",
      [
        "ToolSupport", "Compression", "Formatting", "JSON", "Tensors", "Networks", "Transforms", "Measures",
        "TestSupport", argumentParser,
      ]),
    tests(
      "ToolsTests",
      [
        "Networks", "Transforms", "Measures", "NCZ", "JSON", "Tensors", "TestSupport", "nc-ternarize", "nc-prune",
        "nc-restore", "nc-info",
        "nc-run",
        "nc-verify",
      ]),
    tests(
      "ConformanceTests",
      ["Networks", "Transforms", "Measures", "NCZ", "JSON", "Parallel", "Random", "Tensors", "TestSupport"]),

    tests("TensorsTests", ["Tensors", "Random"]),
    tests("FormattingTests", ["Formatting"]),
    tests("JSONTests", ["JSON", "Random"]),
    tests("PlotsTests", ["Plots"]),
    tests("CodecsTests", ["Codecs", "Tensors", "Parallel", "Random"]),

    tests("MathsTests", ["Maths", "Tensors", "Parallel", "Random"]),
    tests("CLoopsTests", ["CLoops", "Random"]),
    tests("CompressionTests", ["Compression", "Matrices", "CLoops", "Maths", "Tensors", "Parallel", "Random"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c11
)
