// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The value of an environment variable; `nil` when it is missing or empty.
func environment(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
}
