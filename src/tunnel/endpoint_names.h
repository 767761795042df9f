/// Peers whose endpoint is a host's name: looks the names up, and again when a peer goes silent.
///
/// For the thread of the loop; the DNS is asked beside it.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include <warren/loop.h>

#include "carrier/name_lookup.h"
#include "wireguard/device_config.h"

namespace warren::tunnel {

class EndpointNames {
 public:
  /// `found` is told each address that a peer's name turns out to have.
  using Found =
      std::function<void(const crypto::PublicKey& peer, const wireguard::Endpoint& endpoint)>;

  EndpointNames(Loop& loop, Found found);
  ~EndpointNames();

  /// Takes over what a configuration says of names, and looks new ones up: a peer that gets an
  /// address, or is removed, has no name any more.
  [[nodiscard]] Result<> update(const wireguard::DeviceConfig& config);
  /// The peer does not answer: its name may have another address now. Asks at most every few
  /// seconds.
  void look_up_again(const crypto::PublicKey& peer);

 private:
  struct Entry;

  [[nodiscard]] Result<> add(const crypto::PublicKey& peer, const wireguard::EndpointName& name);
  void look_up(Entry& entry);
  void on_answer(Entry& entry, const carrier::NameLookup::Answer& answer);

  Loop& loop_;
  Found found_;
  std::map<crypto::PublicKey, std::unique_ptr<Entry>> entries_;
};

}  // namespace warren::tunnel
