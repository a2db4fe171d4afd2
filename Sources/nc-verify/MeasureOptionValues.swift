// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
public import Maths
public import Measures

/// How many points kernels are of.
enum PointCount: ExpressibleByArgument, Equatable, CustomStringConvertible {
  /// As many as the data have samples.
  case all
  case some(Int)

  init?(argument: String) {
    if argument == "all" {
      self = .all
    } else if let count = Int(argument) {
      self = .some(count)
    } else {
      return nil
    }
  }

  var description: String {
    switch self {
    case .all: "all"
    case .some(let count): "\(count)"
    }
  }
}

extension InputDistribution: ExpressibleByArgument {}

extension TangentOutput: ExpressibleByArgument {
  public init?(argument: String) {
    if argument == "sum" {
      self = .sum
    } else if let index = Int(argument), index >= 0 {
      self = .one(index)
    } else {
      return nil
    }
  }
}
