internal import CHDF5

extension Session {
  /// The version of the linked library, such as `1.10.8`. (No file is involved.)
  public static var libraryVersion: String {
    var (major, minor, release): (UInt32, UInt32, UInt32) = (0, 0, 0)
    H5get_libversion(&major, &minor, &release)
    return "\(major).\(minor).\(release)"
  }
}
