#include "wireguard/timers.h"

#include <utility>

namespace warren::wireguard {

namespace {

bool take_due(Time& deadline, Time now) noexcept {
  if (deadline > now) return false;
  deadline = never;
  return true;
}

}  // namespace

bool Timers::request_handshake(Time now) noexcept {
  // Somebody wants to send: trying goes on for another while.
  give_up_at_ = now + limits::rekey_attempt_time;
  // Repeating is the timer's alone: only what it sends again tells that contact was lost.
  return retry_at_ == never && start_initiation(now);
}

bool Timers::start_initiation(Time now) noexcept {
  if (now < next_initiation_) return false;
  next_initiation_ = now + limits::rekey_timeout;
  retry_at_ = now + limits::rekey_timeout + jitter();
  sent(now, false);
  return true;
}

bool Timers::renew_after_sending(const SessionUse& session, Time now) noexcept {
  const bool many = session.sent_messages >= limits::rekey_after_messages;
  const bool old = session.initiator && now - session.created >= limits::rekey_after_time;
  return (many || old) && request_handshake(now);
}

bool Timers::renew_after_receiving(const SessionUse& session, Time now) noexcept {
  // Early enough that the peer, which may only answer, does not lose its session in between.
  constexpr auto limit =
      limits::reject_after_time - limits::keepalive_timeout - limits::rekey_timeout;
  if (last_minute_ || !session.initiator || now - session.created < limit) return false;
  last_minute_ = true;
  return request_handshake(now);
}

void Timers::traversed(Time now) noexcept {
  if (persistent_interval_.count() > 0) persistent_at_ = now + persistent_interval_;
}

void Timers::sent(Time now, bool data) noexcept {
  keepalive_at_ = never;
  traversed(now);
  if (data && silence_at_ == never)
    silence_at_ = now + limits::keepalive_timeout + limits::rekey_timeout + jitter();
}

void Timers::received(Time now, bool data) noexcept {
  silence_at_ = never;
  traversed(now);
  if (data && keepalive_at_ == never) keepalive_at_ = now + limits::keepalive_timeout;
}

void Timers::session_started(Time now) noexcept { erase_at_ = now + 3 * limits::reject_after_time; }

void Timers::handshake_completed() noexcept {
  retry_at_ = never;
  give_up_at_ = never;
  last_minute_ = false;
}

bool Timers::set_persistent_keepalive(std::chrono::seconds interval, Time now) noexcept {
  const auto before = std::exchange(persistent_interval_, interval);
  if (interval.count() == 0)
    persistent_at_ = never;
  else if (before.count() == 0 || persistent_at_ != never)
    persistent_at_ = now + interval;
  return before.count() == 0 && interval.count() != 0;
}

TimerActions Timers::expire(Time now) noexcept {
  TimerActions actions;
  if (take_due(erase_at_, now)) actions.erase_keys = true;
  if (take_due(retry_at_, now)) retry_handshake(now, actions);
  if (take_due(silence_at_, now)) {
    actions.lost_contact = true;
    if (request_handshake(now)) actions.send_initiation = true;
  }
  if (take_due(keepalive_at_, now)) actions.send_keepalive = true;
  if (take_due(persistent_at_, now)) actions.send_keepalive = true;
  return actions;
}

void Timers::retry_handshake(Time now, TimerActions& actions) noexcept {
  if (now < give_up_at_) {
    actions.lost_contact = true;
    if (start_initiation(now)) actions.send_initiation = true;
    return;
  }
  actions.drop_staged = true;
  keepalive_at_ = never;
  if (erase_at_ == never) erase_at_ = now + 3 * limits::reject_after_time;
}

void Timers::stop() noexcept {
  retry_at_ = keepalive_at_ = silence_at_ = persistent_at_ = erase_at_ = never;
  next_initiation_ = Time::min();
  give_up_at_ = never;
  last_minute_ = false;
}

Duration Timers::jitter() noexcept {
  // splitmix64
  auto z = random_ += 0x9e3779b97f4a7c15U;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
  z = (z ^ z >> 27) * 0x94d049bb133111ebU;
  z ^= z >> 31;
  return Duration(z % static_cast<std::uint64_t>(Duration(limits::max_jitter).count()));
}

}  // namespace warren::wireguard
