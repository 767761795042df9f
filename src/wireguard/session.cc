#include "wireguard/session.h"

namespace warren::wireguard {
namespace {

std::uint8_t* bytes(std::byte* at) noexcept { return reinterpret_cast<std::uint8_t*>(at); }

}  // namespace

crypto::AeadJob Session::seal(std::span<std::byte> message) noexcept {
  const Transport<std::byte> transport(message);
  const auto counter = next_counter_++;
  transport.write_header(keys_.remote_index, counter);
  const auto packet = transport.packet();
  return {&keys_.send, counter, packet, bytes(packet.data()), bytes(transport.tag())};
}

crypto::AeadJob Session::open(const Transport<std::byte>& message) const noexcept {
  const auto packet = message.packet();
  return {&keys_.receive, message.counter(), packet, bytes(packet.data()), bytes(message.tag())};
}

}  // namespace warren::wireguard
