// `warren icmp detach`: takes the carrier off interfaces, or off the machine.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/ask.h"
#include "cli/icmp.h"
#include "core/log.h"

namespace warren::cli {

namespace {

Result<> detach(const std::vector<std::string>& devices) {
  auto carrier = carrier::IcmpCarrier::find(carrier::BpfPins::Access::change);
  if (!carrier) return tl::unexpected(carrier.error());
  if (!*carrier) {
    if (devices.empty()) return {};
    return fail(fmt::format("detach the carrier: {} is not attached", devices.front()), ENOENT);
  }
  if (devices.empty()) return (*carrier)->remove_everything();
  for (const auto& device : devices)
    if (auto done = (*carrier)->detach(device); !done) return done;
  const auto servers = (*carrier)->servers();
  if (servers && !servers->empty() && (*carrier)->devices().empty())
    log::info(
        "{} is still to be carried, and leaves through no interface until it is connected again or "
        "removed",
        servers->front().endpoint());
  return {};
}

}  // namespace

void add_icmp_detach(CLI::App& icmp, Chosen& chosen) {
  auto* command =
      icmp.add_subcommand("detach", "Take the carrier off an interface, or end everything");
  auto devices = std::make_shared<std::vector<std::string>>();
  command->add_option("--dev", *devices,
                      "interface; may be repeated (default: all, and every flow ends)");
  command->footer(
      "Without --dev nothing of the carrier stays in this network namespace. With --dev flows stay "
      "configured, and "
      "closed on that interface: local programs' UDP that should be carried is dropped there.\n"
      "\nExamples:\n"
      "  warren icmp detach\n"
      "  warren icmp detach --dev eth0\n");
  command->callback(
      [devices, &chosen] { chosen = [devices] { return report(detach(*devices)); }; });
}

}  // namespace warren::cli
