// SPDX-License-Identifier: Apache-2.0

public import ArgumentParser
internal import CProcess
internal import Formatting
internal import Glibc
internal import Networks
internal import SystemPackage

/// A command line tool: options declared as properties, work in `run()`.
public protocol Tool: ParsableCommand {
  /// Makes sure that the options fit together. It is asked when all of them are known, so that an unknown option is
  /// called that, and not a missing one.
  func check() throws
}

extension Tool {
  /// Runs the tool and ends the process with the right exit status.
  public static func main() {
    nc_process_handle_traps()
    nc_process_return_memory()
    start()
  }

  /// Not inlined: what Swift prepares for it may fail where there is no memory, and must not come before the handlers.
  @inline(never)
  private static func start() {
    NetworkFile.serveIfChild()
    nc_process_handle_signals()
    keepStandardDescriptors()
    do {
      try checkProcess()
      if CommandLine.arguments.count == 1, isatty(STDIN_FILENO) == 1 {
        diagnose(text: helpMessage() + "\n")
        Glibc.exit(ExitStatus.usage.rawValue)
      }
      var tool = try parseAsRoot(separated(Array(CommandLine.arguments.dropFirst())))
      try (tool as? any Tool)?.check()
      try tool.run()
    } catch {
      end(with: error)
    }
  }

  /// Says a failure in one line.
  public static func say(_ failure: Failure) {
    diagnose(([_commandName] + [failure.file, failure.message].compactMap { $0 }).joined(separator: ": "))
  }

  /// What every tool says about itself: its help ends with the exit statuses.
  public static func described(
    _ name: String, _ abstract: String, _ discussion: String, success: String = "done"
  ) -> CommandConfiguration {
    CommandConfiguration(
      commandName: name, abstract: abstract, discussion: discussion + "\n\n" + ExitStatus.help(success: success),
      version: Version.text(name))
  }

  /// Says what went wrong in one line, or shows the help that was asked for.
  private static func end(with error: any Error) -> Never {
    if let failure = error as? Failure {
      say(failure)
      Glibc.exit(failure.status.rawValue)
    }
    let status = exitCode(for: error)
    if status.isSuccess {
      do throws(Failure) {
        try report(withoutSubcommands(fullMessage(for: error)) + "\n")
      } catch {
        end(with: error)
      }
    } else if !(error is ExitCode) {
      diagnose("\(_commandName): \(usageProblem(message(for: error))) (\(_commandName) --help says more)")
    }
    Glibc.exit(status.rawValue)
  }
}

/// Arguments in which a joined value stands alone with its option: `-qT2` becomes `-q -T2`, as `getopt` has it.
func separated(_ arguments: [String]) -> [String] {
  let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
  return arguments[..<end].flatMap { argument -> [String] in
    guard argument.first == "-", !argument.hasPrefix("--") else { return [argument] }
    let flags = argument.dropFirst().prefix { "fnqv".contains($0) }
    guard !flags.isEmpty, flags.endIndex < argument.endIndex else { return [argument] }
    let option = argument[flags.endIndex...]
    return option.count > 1 && "To".contains(option.prefix(1)) ? ["-\(flags)", "-\(option)"] : [argument]
  } + arguments[end...]
}

/// The script for completions in zsh without the subcommand `help` that the parser puts into it, though no tool has one:
/// in its place an argument that may be repeated is never completed. Any other text as it is.
private func withoutSubcommands(_ text: String) -> String {
  guard text.hasPrefix("#compdef ") else { return text }
  let specifications = ["'(-): :->command'", "'(-)*:: :->arg'"]
  return text.split(separator: "\n", omittingEmptySubsequences: false)
    .filter { line in !specifications.contains { line.hasSuffix($0) } }
    .joined(separator: "\n")
}

/// A problem with the command line in one line, from the message of the parser:
/// `The value '10' is invalid for '--keep <keep>': 10 is not in 0…1` becomes `--keep: 10 is not in 0…1`.
func usageProblem(_ message: String) -> String {
  // An argument in the message may have line feeds: only the parser's own lines end at one.
  let line = message.split(separator: "\n").map { String($0.drop { $0 == " " }) }.joined(separator: " ")
  if line.hasPrefix("The value '"), let about = line.firstRange(of: "' is invalid for '"),
    let end = line[about.upperBound...].firstRange(of: "': ")
  {
    let option = line[about.upperBound..<end.lowerBound].prefix { $0 != " " }
    return "\(option): \(line[end.upperBound...])"
  }
  guard let first = line.first, line.dropFirst().first?.isUppercase == false else { return line }
  return first.lowercased() + line.dropFirst()
}

/// One line on stderr; line feeds and other control characters, as names may have them, are shown as `\xHH`.
public func diagnose(_ line: String) { diagnose(text: printable(line) + "\n") }

/// Text of our own on stderr.
public func diagnose(text: String) {
  Progress.erase()
  var text = text
  // Nobody is left to tell when stderr itself fails.
  let diagnostics = FileDescriptor(rawValue: nc_process_diagnostics())
  _ = try? text.withUTF8 { _ = try diagnostics.writeAll(UnsafeRawBufferPointer($0)) }
}

/// Writes a report to standard output; fails like any other write.
public func report(_ text: String) throws(Failure) {
  Progress.erase()
  do {
    var text = text
    _ = try text.withUTF8 { try FileDescriptor.standardOutput.writeAll(UnsafeRawBufferPointer($0)) }
  } catch {
    throw Failure(.ioError, file: Failure.standardOutput, "\(error)")
  }
}

/// Writes a JSON value to standard output as a line of its own; what is not printable in it is escaped.
public func report(json: [UInt8]) throws(Failure) { try report(printable(json: json) + "\n") }

/// Makes sure of what the work cannot do without.
private func checkProcess() throws(Failure) {
  guard access("/proc/self/exe", X_OK) == 0 else {
    throw Failure(
      .internalError, "cannot read /proc/self: /proc must be mounted, the process that reads HDF5 is started from there"
    )
  }
  var limit = rlimit()
  // Inputs, data, output, temporary files, and the ends of a channel to a process.
  let needed: rlim_t = 32
  guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) != 0 || limit.rlim_cur >= needed else {
    throw Failure(
      .overLimit, "too many open files: the limit is \(limit.rlim_cur), \(needed) are needed (ulimit -n \(needed))")
  }
}

/// A closed standard descriptor is never taken by a file that is opened later.
private func keepStandardDescriptors() {
  for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
    // Opened the wrong way round on purpose: using it fails, as using a closed one would.
    _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
  }
}
