/// MACs and cookies: how handshake messages are told from noise, and how a machine under load makes
/// strangers prove that they receive at the address that they send from (WireGuard paper, sections
/// 5.3 and 5.4.4 and 5.4.7).
///
/// MAC1 is keyed by the receiver's public key: whoever does not know that cannot make us work. MAC2 is
/// keyed by a cookie, which is a MAC of the sender's address under a secret that changes every two
/// minutes. It is zero as long as the sender has no cookie; a receiver under load answers such a message
/// with a cookie, sealed so that only the message's sender can use it, and does nothing else.
///
///     sender                                                     receiver under load
///     CookieJar::stamp()    ── handshake message, MAC2 = 0 ──▶   CookieChecker::check(): only MAC1
///     CookieJar::accept()   ◀─────────── cookie reply ────────   CookieChecker::reply()
///     CookieJar::stamp()    ── handshake message, MAC2 ──────▶   CookieChecker::check(): MAC1 and MAC2
#pragma once

#include <optional>

#include "crypto/secret.h"
#include "wireguard/messages.h"
#include "wireguard/protocol.h"

namespace warren::wireguard {

inline constexpr std::chrono::seconds cookie_lifetime{120};
/// A cookie is used so much shorter than it is valid: it has to travel.
inline constexpr std::chrono::seconds cookie_latency{5};

/// Initiations and responses have MACs, at their end.
template <class Message>
concept StampedMessage = std::same_as<Message, Initiation> || std::same_as<Message, Response>;

/// The two keys that follow from a receiver's public key. Not secret: the public key is not.
struct MacKeys {
  explicit MacKeys(const PublicKey& receiver) noexcept;

  std::array<std::uint8_t, 32> mac1;
  crypto::Key cookie;
};

/// The receiver's side, one for each interface.
class CookieChecker {
 public:
  explicit CookieChecker(const PublicKey& ours) noexcept : keys_(ours) {}

  enum class Verdict : std::uint8_t {
    invalid,        ///< drop it
    mac1,           ///< the sender knows our public key; enough where there is no load
    mac1_and_mac2,  ///< and receives at `source`
  };
  /// `message`: an initiation or response as it was received. `source`: address and port of its
  /// sender, always in the same form; any length.
  template <StampedMessage Message>
  [[nodiscard]] Verdict check(const Message& message, Bytes source, Time now) const noexcept {
    return check(bytes_of(message), source, now);
  }

  /// The answer to a message that passed with MAC1 alone.
  template <StampedMessage Message>
  [[nodiscard]] CookieReply reply(const Message& message, Bytes source, Time now) noexcept {
    return reply(message.sender, message.mac1, source, now);
  }

 private:
  using Cookie = crypto::SecretBytes<16>;

  [[nodiscard]] Verdict check(Bytes message, Bytes source, Time now) const noexcept;
  [[nodiscard]] CookieReply reply(std::uint32_t receiver, const Mac& mac1, Bytes source,
                                  Time now) noexcept;
  [[nodiscard]] Cookie cookie_of(Bytes source) const noexcept;

  MacKeys keys_;
  crypto::Key secret_;
  Time secret_until_ = Time::min();  // there is none before the first reply
};

/// The sender's side, one for each peer.
class CookieJar {
 public:
  explicit CookieJar(const PublicKey& theirs) noexcept : keys_(theirs) {}

  /// Writes MAC1, and MAC2 where there is a cookie.
  template <StampedMessage Message>
  void stamp(Message& message, Time now) noexcept {
    stamp(bytes_of(message), message.mac1, message.mac2, now);
  }

  /// False where the reply does not answer the last message that was stamped.
  [[nodiscard]] bool accept(const CookieReply& reply, Time now) noexcept;

 private:
  void stamp(Bytes message, Mac& mac1, Mac& mac2, Time now) noexcept;

  MacKeys keys_;
  crypto::SecretBytes<16> cookie_;
  Time cookie_until_ = Time::min();
  Mac last_mac1_{};
  bool awaits_reply_ = false;  // last_mac1_ is of a message that was not answered by a cookie yet
};

}  // namespace warren::wireguard
