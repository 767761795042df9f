#include "tunnel/endpoint_names.h"

#include <algorithm>

#include "core/log.h"

namespace warren::tunnel {

namespace {
constexpr auto pause = std::chrono::seconds(5);  // between two questions for one name
}

struct EndpointNames::Entry {
  Entry(Loop& loop, const crypto::PublicKey& of, wireguard::EndpointName its_name,
        std::function<void()> retry)
      : peer(of), name(std::move(its_name)), again(loop, std::move(retry)) {}

  crypto::PublicKey peer;
  wireguard::EndpointName name;
  std::unique_ptr<carrier::NameLookup> lookup;
  std::optional<IpAddress> address;  ///< the last answer
  Clock::time_point next = Clock::time_point::min();
  Timer again;  ///< after a failure, while there is no address at all
};

EndpointNames::EndpointNames(Loop& loop, Found found) : loop_(loop), found_(std::move(found)) {}
EndpointNames::~EndpointNames() = default;

Result<> EndpointNames::update(const wireguard::DeviceConfig& config) {
  if (config.replace_peers) entries_.clear();
  for (const auto& peer : config.peers) {
    if (peer.remove || peer.endpoint) entries_.erase(peer.public_key);
    if (!peer.remove && peer.endpoint_name)
      if (auto added = add(peer.public_key, *peer.endpoint_name); !added) return added;
  }
  return {};
}

Result<> EndpointNames::add(const crypto::PublicKey& peer, const wireguard::EndpointName& name) {
  auto& place = entries_[peer];
  if (place && place->name == name) return {};
  place.reset();
  auto entry = std::make_unique<Entry>(loop_, peer, name, [this, peer] { look_up_again(peer); });
  auto lookup = carrier::NameLookup::create(
      loop_, [this, at = entry.get()](const auto& answer) { on_answer(*at, answer); });
  if (!lookup) return tl::unexpected(lookup.error());
  entry->lookup = std::move(*lookup);
  place = std::move(entry);
  look_up(*place);
  return {};
}

void EndpointNames::look_up_again(const crypto::PublicKey& peer) {
  const auto found = entries_.find(peer);
  if (found != entries_.end() && loop_.now() >= found->second->next) look_up(*found->second);
}

void EndpointNames::look_up(Entry& entry) {
  entry.next = loop_.now() + pause;
  entry.lookup->start(entry.name.host);
}

void EndpointNames::on_answer(Entry& entry, const carrier::NameLookup::Answer& answer) {
  if (!answer || answer->empty()) {
    log::warning("{}: {}", entry.name.host, answer ? "has no address" : answer.error().message);
    if (!entry.address) entry.again.set(loop_.now() + pause);
    return;
  }
  // The peer itself may have moved on; only another answer than before says something.
  if (entry.address && std::ranges::find(*answer, *entry.address) != answer->end()) return;
  entry.address = answer->front();
  log::debug("{} is {}", entry.name.host, entry.address->to_string());
  found_(entry.peer, {*entry.address, entry.name.port, 0, {}});
}

}  // namespace warren::tunnel
