#include <fmt/format.h>

#include <limits>

#include "config/sections.h"

namespace warren::config {

ImpairmentConfig read_impair_section(TomlTable& section) {
  ImpairmentConfig line;
  line.loss = section.percent("loss").value_or(line.loss);
  line.duplicate = section.percent("duplicate").value_or(line.duplicate);
  line.reorder = section.percent("reorder").value_or(line.reorder);
  line.delay = section.duration("delay").value_or(line.delay);
  line.jitter = section.duration("jitter").value_or(line.jitter);
  line.rate = section.rate("rate").value_or(line.rate);
  line.queue =
      static_cast<std::uint32_t>(section.integer("queue", 1, 1'000'000).value_or(line.queue));
  line.seed = static_cast<std::uint64_t>(
      section.integer("seed", 0, std::numeric_limits<std::int64_t>::max()).value_or(1));
  if (line.jitter > line.delay)
    section.error("jitter", "jitter is more than delay: a packet cannot leave before it came");
  if (line.reorder > 0 && line.delay.count() == 0)
    section.error("reorder", "reorder needs a delay: a packet that is reordered skips the delay");
  return line;
}

Medium read_medium(TomlTable& section) {
  const auto parse = [](std::string_view text) -> Result<Medium> {
    if (text == "ip") return Medium::ip;
    if (text == "ethernet") return Medium::ethernet;
    return fail(fmt::format("medium is \"{}\"; it must be \"ip\" or \"ethernet\"", text));
  };
  return section.parse("medium", parse).value_or(Medium::ip);
}

}  // namespace warren::config
