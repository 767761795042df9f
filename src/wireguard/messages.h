/// The four messages of WireGuard (paper, section 5.4). Numbers are little-endian.
///
///     initiation, 148 bytes             response, 92 bytes            cookie reply, 64 bytes
///     0   1  type, 3 zero bytes         0   2  type, 3 zero bytes     0   3  type, 3 zero bytes
///     4   sender's index                4   sender's index            4   receiver's index
///     8   ephemeral key                 8   receiver's index          8   nonce, 24 bytes
///     40  static key, sealed: 48        12  ephemeral key             32  cookie, sealed: 32
///     88  timestamp, sealed: 28         44  nothing, sealed: 16
///     116 MAC1, 16                      60  MAC1, 16
///     132 MAC2, 16                      76  MAC2, 16
///
///     transport data, 32 bytes and more
///     0   4  type, 3 zero bytes
///     4   receiver's index
///     8   counter, 8 bytes
///     16  packet, sealed: its padded length, and 16
///
/// Handshake messages are few: they are copied out of the packet and into it. Transport messages are
/// looked at where they lie.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "crypto/bytes.h"

namespace warren::wireguard {

using crypto::Bytes;
using crypto::PublicKey;

using Mac = std::array<std::uint8_t, 16>;

/// A number as it lies in a message.
template <std::unsigned_integral T>
class LittleEndian {
 public:
  LittleEndian() noexcept = default;
  LittleEndian(T value) noexcept {  // NOLINT(google-explicit-constructor)
    for (auto& byte : bytes_) {
      byte = static_cast<std::uint8_t>(value);
      value = static_cast<T>(value >> 8);
    }
  }
  operator T() const noexcept {  // NOLINT(google-explicit-constructor)
    T value = 0;
    for (std::size_t i = sizeof(T); i-- > 0;) value = static_cast<T>(value << 8 | bytes_[i]);
    return value;
  }

 private:
  std::array<std::uint8_t, sizeof(T)> bytes_{};
};
using Index = LittleEndian<std::uint32_t>;

enum class MessageType : std::uint8_t { initiation = 1, response, cookie_reply, transport };

struct Initiation {
  static constexpr auto message_type = MessageType::initiation;
  LittleEndian<std::uint32_t> type = 1;
  Index sender;
  PublicKey ephemeral{};
  std::array<std::uint8_t, 48> sealed_static{};
  std::array<std::uint8_t, 28> sealed_timestamp{};
  Mac mac1{};
  Mac mac2{};
};

struct Response {
  static constexpr auto message_type = MessageType::response;
  LittleEndian<std::uint32_t> type = 2;
  Index sender;
  Index receiver;
  PublicKey ephemeral{};
  std::array<std::uint8_t, 16> sealed_nothing{};
  Mac mac1{};
  Mac mac2{};
};

struct CookieReply {
  static constexpr auto message_type = MessageType::cookie_reply;
  LittleEndian<std::uint32_t> type = 3;
  Index receiver;
  std::array<std::uint8_t, 24> nonce{};
  std::array<std::uint8_t, 32> sealed_cookie{};
};

static_assert(sizeof(Initiation) == 148 && alignof(Initiation) == 1);
static_assert(sizeof(Response) == 92 && alignof(Response) == 1);
static_assert(sizeof(CookieReply) == 64 && alignof(CookieReply) == 1);

/// One of those three, as it goes over the wire.
template <class Message>
concept HandshakeMessage = std::same_as<Message, Initiation> || std::same_as<Message, Response> ||
                           std::same_as<Message, CookieReply>;

template <HandshakeMessage Message>
[[nodiscard]] Bytes bytes_of(const Message& message) noexcept {
  return {reinterpret_cast<const std::uint8_t*>(&message), sizeof message};
}

/// The transport message in a packet; `Byte` is std::byte or const std::byte.
template <class Byte>
class Transport {
 public:
  static constexpr std::size_t header_length = 16;
  static constexpr std::size_t tag_length = 16;
  static constexpr std::size_t overhead = header_length + tag_length;

  /// For packets that classify() calls transport messages.
  explicit Transport(std::span<Byte> message) noexcept : message_(message) {}

  [[nodiscard]] std::uint32_t receiver() const noexcept {
    return load<std::uint32_t>(message_.data() + 4);
  }
  [[nodiscard]] std::uint64_t counter() const noexcept {
    return load<std::uint64_t>(message_.data() + 8);
  }
  /// Without the tag: as long as the padded packet. 0 bytes are a keepalive.
  [[nodiscard]] std::span<Byte> packet() const noexcept {
    return message_.subspan(header_length, message_.size() - overhead);
  }
  [[nodiscard]] Byte* tag() const noexcept {
    return message_.data() + message_.size() - tag_length;
  }

  void write_header(std::uint32_t receiver, std::uint64_t counter) const noexcept
    requires(!std::is_const_v<Byte>)
  {
    const LittleEndian<std::uint32_t> type{4};
    const LittleEndian<std::uint32_t> index{receiver};
    const LittleEndian<std::uint64_t> number{counter};
    std::memcpy(message_.data(), &type, sizeof type);
    std::memcpy(message_.data() + 4, &index, sizeof index);
    std::memcpy(message_.data() + 8, &number, sizeof number);
  }

 private:
  template <class T>
  static T load(const std::byte* at) noexcept {
    LittleEndian<T> value;
    std::memcpy(&value, at, sizeof value);
    return value;
  }

  std::span<Byte> message_;
};

/// What a datagram is, by its first four bytes and its length; nothing where it is no message.
[[nodiscard]] inline std::optional<MessageType> classify(Bytes datagram) noexcept {
  if (datagram.size() < 32 || (datagram.data()[1] | datagram.data()[2] | datagram.data()[3]) != 0)
    return std::nullopt;
  const auto size = datagram.size();
  switch (datagram.data()[0]) {
    case 1:
      return size == sizeof(Initiation) ? std::optional(MessageType::initiation) : std::nullopt;
    case 2:
      return size == sizeof(Response) ? std::optional(MessageType::response) : std::nullopt;
    case 3:
      return size == sizeof(CookieReply) ? std::optional(MessageType::cookie_reply) : std::nullopt;
    case 4:
      return MessageType::transport;
    default:
      return std::nullopt;
  }
}

/// The message in a datagram; nothing where it is another.
template <HandshakeMessage Message>
[[nodiscard]] std::optional<Message> parse(Bytes datagram) noexcept {
  std::optional<Message> message;
  if (classify(datagram) == Message::message_type)
    std::memcpy(&message.emplace(), datagram.data(), sizeof(Message));
  return message;
}

/// How long a packet becomes before it is sealed: a multiple of 16, so that lengths tell less, but
/// not more than `mtu` (paper, section 5.4.6). A packet longer than `mtu`, as while the MTU changes,
/// keeps its length.
[[nodiscard]] constexpr std::size_t padded_length(std::size_t length, std::size_t mtu) noexcept {
  const std::size_t padded = (length + 15) & ~std::size_t{15};
  return padded <= mtu ? padded : std::max(length, mtu);
}

}  // namespace warren::wireguard
