internal import HDF5

@main struct Tool {
  static func main() {
    Session.serveIfChild()
  }
}
