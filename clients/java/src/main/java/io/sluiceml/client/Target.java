package io.sluiceml.client;

import java.util.regex.Pattern;

/** What gRPC calls the address of a server. */
final class Target {
  private static final Pattern LOOPBACK = Pattern.compile("(?:dns:///)?(?:localhost|127(?:\\.\\d{1,3}){3}|\\[::1])(?::\\d+)?");

  private Target() {}

  /** Says whether a target is certain to stay on this machine. It looks no name up. */
  static boolean isLocal(String target) {
    return target.startsWith("unix:") || LOOPBACK.matcher(target).matches();
  }
}
