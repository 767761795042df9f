/// The shortcut of a conversation's messages past the kernel's IP output.
///
/// Theory of operation. A raw socket looks up the route, passes the firewall and fills in headers
/// for each message, which costs as much as everything else in sending it. So of a busy conversation
/// one message goes through the raw socket, and a copy of its frame comes back (io/sent_frame.h);
/// those that follow get the same headers and leave through a packet socket:
///
///     raw socket     ▕ echo header ▏payload▕   one, as a sample
///          │ route, rules, firewall, source address, neighbour
///          ▼
///     ▕ link ▏ IP ▏ echo header ▏payload▕      learned: device, headers, that this length fits
///     ▕ link ▏ IP ▏ echo header ▏payload▕      packet socket; only lengths and checksums differ
///     …                                        until a tenth of a second later: the next sample
///
/// So the kernel decides everything, ten times a second; it goes on tracking the connection and
/// proving that the neighbour lives. A frame that a device refuses ends all shortcuts at once. What
/// cannot be repeated goes through the raw socket as ever: what left in fragments, or longer than
/// any sample; what a translation or an IPsec policy changed; what is for this machine itself; and
/// conversations that are not busy.
#pragma once

#include <netpacket/packet.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <span>

#include "carrier/icmp_codec.h"
#include "io/message_batch.h"
#include "io/sent_frame.h"

namespace warren::carrier {

/// Of one conversation, in one direction. Not thread-safe.
class IcmpShortcut {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Way : std::uint8_t {
    socket,  ///< through the raw socket
    sample,  ///< the same, and learn() is told of its frame
    frame,   ///< write()
  };

  /// Which way a message with so long a payload goes. `epoch` changes where all that was learned is
  /// void.
  [[nodiscard]] Way choose(std::size_t payload, Time now, std::uint32_t epoch) noexcept;

  /// Whether `frame` is the sample: the message with these fields of this user to `to`. Then what it
  /// says is good for messages that are not longer.
  bool learn(const SentFrame& frame, const EchoFields& fields, Tag user, const IpAddress& to,
             std::size_t payload) noexcept;
  /// The sample's frame was not seen, or is none that can be repeated.
  void refuse(std::size_t payload) noexcept { too_long_ = std::min(too_long_, payload); }

  /// Puts a message into `out`, whose fits(2) the caller has checked. `payload` stays where it is
  /// until `out` is flushed; `room` bytes in front of it may be overwritten.
  void write(SendBatch& out, int packet_socket, const EchoFields& fields, Tag user,
             std::span<const std::byte> payload, std::size_t room) const noexcept;
  /// All that stands in front of the payload, at `out`, which has SendBatch::scratch_size bytes. Its
  /// length.
  std::size_t write_headers(std::byte* out, const EchoFields& fields, Tag user,
                            std::span<const std::byte> payload) const noexcept;

 private:
  static constexpr std::size_t max_link_header = 32;
  static constexpr std::size_t max_headers = max_link_header + 40;
  static_assert(max_headers + echo_header_length <= SendBatch::scratch_size);

  Time until_{};
  std::uint32_t epoch_ = 0;
  unsigned through_socket_ = 0;  // in this period
  std::size_t fitting_ = 0;      // payloads shorter than this may take the shortcut
  std::size_t too_long_ = std::numeric_limits<std::size_t>::max();  // and from here on no sample

  sockaddr_ll device_{};
  EchoPath path_;
  std::size_t ip_at_ = 0;
  std::size_t headers_length_ = 0;  // of link and IP
  std::array<std::byte, max_headers> headers_{};
};

}  // namespace warren::carrier
