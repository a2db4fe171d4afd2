// SPDX-License-Identifier: Apache-2.0

internal import CHDF5

extension Session {
  /// The version of the linked library, such as `1.10.8`. No file is involved, and the library is not initialised: every
  /// tool asks, and libhdf5 belongs into the child alone.
  public static var libraryVersion: String {
    let sentence = String(cString: chdf5_version())
    return String(sentence[(sentence.lastIndex(of: " ").map(sentence.index(after:)) ?? sentence.startIndex)...])
  }
}
