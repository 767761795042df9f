// `warren icmp`: UDP inside ICMP echo messages, by programs in the kernel.
#include "cli/icmp.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace warren::cli {

void IcmpDeviceFlags::add_to(CLI::App& command, const std::string& default_device) {
  command.add_option("--dev", devices,
                     fmt::format("interface; may be repeated (default: {})", default_device));
  command
      .add_option(
          "--checksum", checksum,
          "who completes checksums: auto picks by interface, balance leaves it to the hardware, "
          "software does it before (default: as the interface has it, auto to begin with)")
      ->check(CLI::IsMember({"auto", "balance", "software"}));
  command
      .add_option("--xdp", xdp,
                  "auto: take packets in the driver already, where it can and no other XDP program "
                  "sits there (default: as the interface has it, off to begin with)")
      ->check(CLI::IsMember({"auto", "off"}));
}

carrier::IcmpDeviceOptions IcmpDeviceFlags::options() const {
  carrier::IcmpDeviceOptions options;
  if (checksum == "auto") options.checksum = carrier::ChecksumMode::automatic;
  if (checksum == "balance") options.checksum = carrier::ChecksumMode::balance;
  if (checksum == "software") options.checksum = carrier::ChecksumMode::software;
  if (!xdp.empty()) options.xdp = xdp == "auto";
  return options;
}

void IcmpProfileFlags::add_to(CLI::App& command) {
  command.add_option("--profile", profile, "warren (default), or tutu: as tutuicmptunnel does it")
      ->check(CLI::IsMember({"warren", "tutu"}));
  command.add_option("--uid", uid, "user id of the profile tutu, 0 to 255");
}

Result<std::optional<carrier::Tag>> IcmpProfileFlags::tag() const {
  if (profile == "warren") {
    if (uid != -1)
      return fail("--uid belongs to --profile tutu; the profile warren has tags", EINVAL);
    return std::optional<carrier::Tag>{};
  }
  if (uid < 0 || uid > 255)
    return fail("--profile tutu needs --uid, 0 to 255: the one that the other side was told",
                EINVAL);
  return carrier::Tag{static_cast<std::uint16_t>(uid), carrier::Profile::tutu};
}

void add_icmp(CLI::App& app, Chosen& chosen) {
  auto* icmp = app.add_subcommand("icmp", "Carry UDP inside ICMP echo messages, in the kernel");
  icmp->require_subcommand(1);
  add_icmp_serve(*icmp, chosen);
  add_icmp_connect(*icmp, chosen);
  add_icmp_list(*icmp, chosen);
  add_icmp_stats(*icmp, chosen);
  add_icmp_remove(*icmp, chosen);
  add_icmp_detach(*icmp, chosen);
  add_icmp_relay(*icmp, chosen);
  icmp->footer(
      "What is set up stays in the kernel when the command ends: there is no daemon. It belongs to "
      "the network namespace in which the command runs.\n"
      "\nExamples:\n"
      "  warren icmp serve --port 51820 --user alice          on the server; prints a ticket\n"
      "  warren icmp connect warren-icmp:alice@203.0.113.7:51820/3fa2     on alice's machine\n"
      "  warren icmp list                                     what is carried, and how\n"
      "  warren icmp stats --watch                            and how much\n"
      "  warren icmp remove alice                             end a flow\n"
      "  warren icmp detach                                   end everything\n"
      "  warren icmp relay --help                             the same without programs in the "
      "kernel\n");
}

}  // namespace warren::cli
