/// When a peer's handshakes are repeated, its sessions renewed, keepalives sent and keys erased.
/// (Section 6 of the WireGuard paper; the details are those of the Linux kernel's timers.c.)
///
/// Events go in, with their time; what is to be done comes out. Five deadlines, each armed by events
/// and disarmed by others:
///
///     deadline      armed by                               disarmed by           what is due
///     retry         an initiation: 5 s, and jitter         a completed handshake another initiation,
///                                                                                for at most 90 s
///     keepalive     data received: 10 s                    anything sent         an empty packet
///     silence       data sent: 15 s, and jitter            anything received     an initiation
///     persistent    anything sent or received: interval                          an empty packet
///     erase         a new session: 540 s                                         keys are erased
///
/// A session is renewed by whoever initiated it, when it is used: for sending after 120 s or 2^60
/// messages, for receiving after 165 s. After 180 s it is not used at all. So two idle peers send
/// nothing, ever, and a busy pair renews its session every two minutes without a gap.
///
/// The caller asks for deadline() after it reported events, and calls expire() when it has passed.
/// Being late does no harm. Events are cheap; those of many packets can be reported once for a batch.
#pragma once

#include <algorithm>

#include "wireguard/protocol.h"

namespace warren::wireguard {

/// What is known of a session when it is used.
struct SessionUse {
  Time created;
  bool initiator;               ///< we sent the initiation
  std::uint64_t sent_messages;  ///< the next counter
};

/// Whether packets may still be sent with a session, and accepted from it.
[[nodiscard]] constexpr bool is_usable(const SessionUse& session, Time now) noexcept {
  return now - session.created < limits::reject_after_time &&
         session.sent_messages < limits::reject_after_messages;
}

/// To be done in this order.
struct TimerActions {
  bool erase_keys = false;       ///< of all sessions and of a handshake under way
  bool drop_staged = false;      ///< the peer does not answer: packets wait in vain
  bool lost_contact = false;     ///< forget the source address, look the host name up again
  bool send_initiation = false;  ///< of a new handshake
  bool send_keepalive = false;   ///< an empty packet; with staged packets, those instead

  friend bool operator==(const TimerActions&, const TimerActions&) = default;
};

class Timers {
 public:
  /// `seed` decides the jitter.
  explicit Timers(std::uint64_t seed) noexcept : random_(seed) {}

  /// There is no usable session for what is to be sent. True: send an initiation now; false: one is
  /// under way already, which expire() repeats.
  [[nodiscard]] bool request_handshake(Time now) noexcept;
  /// A packet went out with this session. True: send an initiation now.
  [[nodiscard]] bool renew_after_sending(const SessionUse& session, Time now) noexcept;
  /// A packet was received with this session. True: send an initiation now.
  [[nodiscard]] bool renew_after_receiving(const SessionUse& session, Time now) noexcept;

  /// Anything that is authenticated, handshakes included; `data` where it was not empty. Initiations
  /// are counted by the functions that ask for them.
  void sent(Time now, bool data) noexcept;
  void received(Time now, bool data) noexcept;

  /// New keys were derived, in either role.
  void session_started(Time now) noexcept;
  /// The response arrived, or the first packet that the peer sent with the new session.
  void handshake_completed() noexcept;

  /// 0 turns it off. True: it was off, send a keepalive now.
  [[nodiscard]] bool set_persistent_keepalive(std::chrono::seconds interval, Time now) noexcept;
  [[nodiscard]] std::chrono::seconds persistent_keepalive() const noexcept {
    return persistent_interval_;
  }

  /// When expire() is to be called; `never` where nothing is to come.
  [[nodiscard]] Time deadline() const noexcept {
    return std::min({retry_at_, keepalive_at_, silence_at_, persistent_at_, erase_at_});
  }
  [[nodiscard]] TimerActions expire(Time now) noexcept;

  /// The interface went down: nothing is due any more.
  void stop() noexcept;

 private:
  [[nodiscard]] bool start_initiation(Time now) noexcept;
  void retry_handshake(Time now, TimerActions& actions) noexcept;
  void traversed(Time now) noexcept;
  [[nodiscard]] Duration jitter() noexcept;

  Time retry_at_ = never;
  Time keepalive_at_ = never;
  Time silence_at_ = never;
  Time persistent_at_ = never;
  Time erase_at_ = never;
  Time next_initiation_ = Time::min();  ///< the earliest
  Time give_up_at_ = never;             ///< where no handshake completes
  std::uint64_t random_;
  std::chrono::seconds persistent_interval_{0};
  bool last_minute_ = false;  ///< renewal was asked for on receiving already
};

}  // namespace warren::wireguard
