/// What a carrier keeps in the kernel between two commands: BPF objects under names in bpffs.
///
///     /sys/fs/bpf/warren/icmp-v5/net-4711/       4711: the cookie of the network namespace, never reused
///         map-devices  map-sessions  …           the state; there is no other
///         program-CONTENT-carry  …               CONTENT: which build of the programs it is
///         link-egress-3  link-guard  …           what keeps programs attached
///         link-life-5                            on a device of ours that never gets a packet: tells that the
///                                                namespace lives, where no other link to a device does
///
/// The directory of a namespace that is gone is removed by whoever opens his own next, to change it:
/// all links to its devices are dead then. (A device that vanishes alone leaves the links of its detour
/// alive.) With the last directory in them those above it go too.
///
/// A BpfPins holds a lock on the machine's bpffs as long as it lives, so that commands that change
/// something run one after the other. Not for several threads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <warren/fd.h>
#include <warren/result.h>

namespace warren::carrier {

class BpfPins {
 public:
  enum class Access { read, change };

  /// The pins of `carrier` ("icmp-v5") for the calling thread's network namespace; mounts bpffs
  /// where it is missing. There need not be any yet.
  [[nodiscard]] static Result<BpfPins> open(std::string_view carrier, Access access);

  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::uint64_t netns_cookie() const { return cookie_; }
  /// Whether anything is pinned.
  [[nodiscard]] bool exist() const { return !names("").empty(); }
  /// The names that begin with `prefix`, sorted.
  [[nodiscard]] std::vector<std::string> names(std::string_view prefix) const;
  /// The object pinned under `name`; no descriptor where there is none.
  [[nodiscard]] Result<Fd> get(const std::string& name) const;
  Result<> pin(const std::string& name, int fd);
  /// As pin(); takes the place of what was there.
  Result<> replace(const std::string& name, int fd);
  /// No error where there is none.
  Result<> remove(const std::string& name);
  /// All of them, the directory, and those above it in which nothing else is.
  Result<> remove_all();

 private:
  BpfPins(Fd lock, const std::string& bpffs, std::string_view carrier, std::uint64_t cookie);
  void remove_stale() const;

  Fd lock_;
  std::string root_;  ///< of all carriers
  std::string carrier_directory_;
  std::string directory_;
  std::uint64_t cookie_;
};

}  // namespace warren::carrier
