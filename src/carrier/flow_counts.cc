#include "carrier/flow_counts.h"

#include <cstring>
#include <map>

namespace warren::carrier {

namespace {

struct BytesLess {
  template <class Key>
  bool operator()(const Key& a, const Key& b) const {
    return std::memcmp(&a, &b, sizeof a) < 0;
  }
};

template <class Key, class Value>
class CountsByKey {
 public:
  explicit CountsByKey(std::vector<std::pair<Key, Value>>& table) {
    for (auto& [key, value] : table) counts_[key] = &value.counts;
  }
  [[nodiscard]] icmp_counts* find(const Key& key) const {
    const auto found = counts_.find(key);
    return found == counts_.end() ? nullptr : found->second;
  }

 private:
  std::map<Key, icmp_counts*, BytesLess> counts_;
};

struct Tables {
  std::vector<std::pair<icmp_server_key, icmp_server>> servers;
  std::vector<std::pair<icmp_reply_key, icmp_reply>> replies;
  std::vector<std::pair<icmp_user_key, icmp_user>> users;
};

Result<Tables> read_tables(const IcmpMaps& maps) {
  auto servers = maps.servers.all();
  if (!servers) return tl::unexpected(servers.error());
  auto replies = maps.replies.all();
  if (!replies) return tl::unexpected(replies.error());
  auto users = maps.users.all();
  if (!users) return tl::unexpected(users.error());
  return Tables{std::move(*servers), std::move(*replies), std::move(*users)};
}

// As settle() in bpf/icmp_cache.h, which will do so later.
void add_cached(Tables& tables, const std::vector<icmp_cached>& counted) {
  const CountsByKey servers(tables.servers);
  const CountsByKey replies(tables.replies);
  const CountsByKey users(tables.users);
  for (const auto& cached : counted) {
    const auto& key = cached.key;
    const bool out = key.way == ICMP_WAY_OUT;
    icmp_counts* counts = nullptr;
    if (key.way == ICMP_WAY_REPLY_IN)
      counts = replies.find({key.address, key.own, ICMP_PROFILE_WARREN, 0});
    else if (out && cached.is_reply == 0)
      counts = servers.find({key.address, key.port, 0});
    else
      counts = users.find({out ? cached.found : key.own, ICMP_PROFILE_WARREN, 0});
    if (counts == nullptr || cached.generation < counts->since) continue;
    (out ? counts->tx_packets : counts->rx_packets) += cached.packets;
    (out ? counts->tx_bytes : counts->rx_bytes) += cached.bytes;
  }
}

void add_replies(Tables& tables) {
  const CountsByKey replies(tables.replies);
  for (auto& [key, server] : tables.servers) {
    const auto* back = replies.find({key.address, server.tag, server.profile, 0});
    if (back == nullptr) continue;
    server.counts.rx_packets = back->rx_packets;
    server.counts.rx_bytes = back->rx_bytes;
  }
}

}  // namespace

Result<CountedTables> read_counted_tables(const IcmpMaps& maps) {
  // What goes from the cache to the tables while both are read would be missing, or counted twice.
  constexpr int tries = 10;
  for (int i = 1;; ++i) {
    const auto before = maps.cache.read();
    if (!before) return tl::unexpected(before.error());
    auto tables = read_tables(maps);
    if (!tables) return tl::unexpected(tables.error());
    const auto after = maps.cache.read();
    if (!after) return tl::unexpected(after.error());
    if (before->settled != after->settled && i < tries) continue;
    add_cached(*tables, after->counted);
    add_replies(*tables);
    return CountedTables{std::move(tables->servers), std::move(tables->users)};
  }
}

}  // namespace warren::carrier
