// `warren doctor FILE`: what hurts in the network that a file describes.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

#include "cli/ask.h"
#include "cli/commands.h"
#include "cli/doctor_probes.h"
#include "config/network_file.h"
#include "net/diagnose.h"

namespace warren::cli {

namespace {

using net::Finding;
using Json = nlohmann::ordered_json;

Result<std::vector<Finding>> examine(const std::string& file) {
  const auto spec = config::read_network_file(file);
  if (!spec) return tl::unexpected(spec.error());
  auto findings = net::diagnose(*spec);
  if (!findings) return findings;
  auto missing = net::missing_features(*spec);
  if (!missing) {
    // Without privileges the rest is still worth telling.
    findings->push_back({"not-tried", Finding::Weight::note, "what the kernel can was not tried",
                         missing.error().message, "run as root"});
    return findings;
  }
  findings->insert(findings->begin(), missing->begin(), missing->end());
  return findings;
}

void print_text(const std::string& file, const std::vector<Finding>& findings) {
  for (const auto& finding : findings)
    fmt::print("{}  {}\n        why: {}\n        do:  {}\n",
               finding.weight == Finding::Weight::broken ? "broken" : "note  ", finding.what,
               finding.why, finding.fix);
  if (findings.empty()) fmt::print("{}: all is well\n", file);
}

void print_json(const std::vector<Finding>& findings, bool ok) {
  Json list = Json::array();
  for (const auto& finding : findings)
    list.push_back({{"kind", finding.kind},
                    {"weight", finding.weight == Finding::Weight::broken ? "broken" : "note"},
                    {"what", finding.what},
                    {"why", finding.why},
                    {"fix", finding.fix}});
  fmt::print("{}\n", Json{{"ok", ok}, {"findings", std::move(list)}}.dump(2));
}

}  // namespace

int examine_network(const std::string& file, bool json) {
  const auto findings = examine(file);
  if (!findings) return report(tl::unexpected(findings.error()));
  const bool ok = std::ranges::none_of(
      *findings, [](const Finding& finding) { return finding.weight == Finding::Weight::broken; });
  if (json)
    print_json(*findings, ok);
  else
    print_text(file, *findings);
  return ok ? Exit::success : Exit::failed;
}

}  // namespace warren::cli
