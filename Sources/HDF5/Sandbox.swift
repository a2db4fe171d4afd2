// SPDX-License-Identifier: Apache-2.0

internal import CSandbox
internal import Glibc
internal import SystemPackage

extension Session {
  /// What confines the process that reads HDF5, beside limits: `seccomp, Landlock 7`, or what of it is missing and why.
  public static var sandbox: String {
    let seccomp: String =
      switch nc_seccomp_refusal() {
      case 0: "seccomp"
      case ENOTSUP: "no seccomp (this build has a sanitizer)"
      case let error: "no seccomp (\(Errno(rawValue: error)))"
      }
    let landlock = nc_landlock_version()
    return seccomp + ", " + (landlock > 0 ? "Landlock \(landlock)" : "no Landlock")
  }
}
