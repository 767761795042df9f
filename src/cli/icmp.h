/// What the subcommands of `warren icmp` share.
#pragma once

#include <string>
#include <vector>

#include "carrier/icmp_carrier.h"
#include "cli/commands.h"

namespace warren::cli {

void add_icmp_serve(CLI::App& icmp, Chosen& chosen);
void add_icmp_connect(CLI::App& icmp, Chosen& chosen);
void add_icmp_list(CLI::App& icmp, Chosen& chosen);
void add_icmp_stats(CLI::App& icmp, Chosen& chosen);
void add_icmp_remove(CLI::App& icmp, Chosen& chosen);
void add_icmp_detach(CLI::App& icmp, Chosen& chosen);
void add_icmp_relay(CLI::App& icmp, Chosen& chosen);

/// --dev, --checksum and --xdp; the last two are empty where they are not given.
struct IcmpDeviceFlags {
  std::vector<std::string> devices;
  std::string checksum;
  std::string xdp;

  void add_to(CLI::App& command, const std::string& default_device);
  [[nodiscard]] carrier::IcmpDeviceOptions options() const;
};

/// --profile and --uid.
struct IcmpProfileFlags {
  std::string profile = "warren";
  int uid = -1;

  void add_to(CLI::App& command);
  /// The tag of the profile tutu; none in the other.
  [[nodiscard]] Result<std::optional<carrier::Tag>> tag() const;
};

}  // namespace warren::cli
