#include "bench/iperf3.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace warren::bench {

using nlohmann::json;

std::string_view direction_name(Direction direction) {
  return direction == Direction::forward ? "forward" : "reverse";
}

std::vector<std::string> iperf3_server(const std::string& address) {
  return {"iperf3",
          "--server",
          "--one-off",
          "--bind",
          address,
          "--port",
          fmt::format("{}", Iperf3::port)};
}

std::vector<std::string> iperf3_client(const Iperf3& workload, const std::string& address,
                                       Direction direction, const Iperf3Timing& timing) {
  std::vector<std::string> words = {
      "iperf3", "--client",          address, "--port", fmt::format("{}", Iperf3::port),
      "--json", "--connect-timeout", "5000",  "--time", fmt::format("{}", timing.duration_s)};
  const auto add = [&](std::initializer_list<std::string> more) {
    words.insert(words.end(), more);
  };
  if (timing.warmup_s > 0) add({"--omit", fmt::format("{}", timing.warmup_s)});
  if (workload.streams > 1) add({"--parallel", fmt::format("{}", workload.streams)});
  if (workload.length) add({"--length", fmt::format("{}", *workload.length)});
  if (workload.udp) add({"--udp"});
  if (!workload.udp) add({"--congestion", workload.congestion});
  if (!workload.rate.empty()) add({"--bitrate", workload.rate});
  if (direction == Direction::reverse) add({"--reverse"});
  return words;
}

Result<Iperf3Result> parse_iperf3(std::string_view text) {
  const auto root = json::parse(text, nullptr, false);
  if (root.is_discarded() || !root.is_object()) return fail("iperf3 printed no JSON");
  if (const auto error = root.find("error"); error != root.end() && error->is_string())
    return fail("iperf3: " + error->get<std::string>());
  try {
    Iperf3Result result;
    const auto& end = root.at("end");
    const auto received = end.at("sum_received").at("bits_per_second").get<double>();
    result.gbps = received / 1e9;
    if (end.at("sum_sent").contains("retransmits"))
      result.retransmits = end["sum_sent"]["retransmits"].get<std::int64_t>();
    if (end.contains("sum") && end["sum"].contains("lost_percent")) {
      // Its own percentage counts what was lost while warming up, and not what was sent then.
      const auto sent = end["sum_sent"].at("bits_per_second").get<double>();
      result.lost_percent = sent > 0 ? std::max(0.0, 100 * (1 - received / sent)) : 0;
      result.jitter_ms = end["sum"].at("jitter_ms").get<double>();
      const auto length = root.at("start").at("test_start").at("blksize").get<double>();
      result.packets_per_s = received / 8 / length;
    }
    result.congestion = end.value("sender_tcp_congestion", "");
    return result;
  } catch (const json::exception& error) {
    return fail(fmt::format("iperf3's JSON lacks what is expected of version 3.9 and later: {}",
                            error.what()));
  }
}

}  // namespace warren::bench
