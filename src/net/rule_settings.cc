// Settings of sysctls and of tables of nf_tables.
#include <fmt/format.h>

#include <memory>

#include "linux/nftables.h"
#include "linux/sysctl.h"
#include "net/setting.h"

namespace warren::net {

Setting has_sysctl(const std::string& name, const std::string& value) {
  Setting setting{.key = "sysctl " + name, .value = value};
  setting.there = [=](netlink::Socket&) -> Result<bool> {
    const auto now = sysctl::read(name);
    return now && *now == value;
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> {
    const auto now = sysctl::read(name);
    if (!now) return tl::unexpected(now.error());
    return Undo{{"sysctl", name, value, *now}};
  };
  setting.apply = [=](netlink::Socket&) { return sysctl::write(name, value); };
  return setting;
}

namespace {

// Makes the table, empties it, and fills it, in one transaction: nobody sees it half.
std::string whole(const std::string& family, const std::string& name, const std::string& rules) {
  const auto table = fmt::format(R"({{"table":{{"family":"{}","name":"{}"}}}})", family, name);
  return fmt::format(R"({{"nftables":[{{"add":{0}}},{{"delete":{0}}},{{"add":{0}}},{1}]}})", table,
                     rules);
}

}  // namespace

Setting has_table(const std::string& family, const std::string& name, std::string text,
                  const RulesSource& json) {
  Setting setting{.key = fmt::format("nftables {} {}", family, name), .value = std::move(text)};
  const auto applied = std::make_shared<std::string>();
  setting.there = [=](netlink::Socket& socket) -> Result<bool> {
    const auto wanted = json(socket);
    const auto present = nftables::has_table(family, name);
    return wanted && present && *present && *wanted == *applied;
  };
  setting.undo = [=](netlink::Socket&) -> Result<Undo> { return Undo{{"table", family, name}}; };
  setting.apply = [=](netlink::Socket& socket) -> Result<> {
    const auto rules = json(socket);
    if (!rules) return tl::unexpected(rules.error());
    if (auto done = nftables::apply(whole(family, name, *rules)); !done)
      return fail_in(fmt::format("make table {} {}", family, name), done.error());
    *applied = *rules;
    return {};
  };
  return setting;
}

}  // namespace warren::net
