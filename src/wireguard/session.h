/// A session: the keys of the packets of one handshake, and which of up to three a peer uses.
///
/// Sealing and opening are done in batches by crypto::Aead: a session makes the jobs.
///
///     auto job = session.seal(message);           auto job = session.open(transport);
///     aead.seal(jobs);                            aead.open(jobs);
///                                                 if (job.ok && session.accept(counter)) …
#pragma once

#include <array>
#include <utility>

#include "crypto/aead.h"
#include "wireguard/messages.h"
#include "wireguard/replay_window.h"
#include "wireguard/timers.h"

namespace warren::wireguard {

/// What a handshake ends with.
struct SessionKeys {
  crypto::Key send;
  crypto::Key receive;
  std::uint32_t local_index = 0;   ///< by which the peer names the session to us
  std::uint32_t remote_index = 0;  ///< by which we name it to the peer
  bool initiator = false;          ///< we sent the initiation
};

/// One thread at a time; its jobs may be done by others.
class Session {
 public:
  Session(const SessionKeys& keys, Time created) noexcept : keys_(keys), created_(created) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] std::uint32_t local_index() const noexcept { return keys_.local_index; }
  [[nodiscard]] SessionUse use() const noexcept {
    return {created_, keys_.initiator, next_counter_};
  }

  /// Writes the header of `message` and takes a counter for it. `message`: room for the header, the
  /// padded packet at Transport::packet(), room for the tag; 32 bytes more than the packet. Ask
  /// is_usable() for the batch before. The session must stay until the job is done.
  [[nodiscard]] crypto::AeadJob seal(std::span<std::byte> message) noexcept;

  /// Decrypts where the packet lies.
  [[nodiscard]] crypto::AeadJob open(const Transport<std::byte>& message) const noexcept;

  /// For messages that were opened: whether the counter was not received before.
  [[nodiscard]] bool accept(std::uint64_t counter) noexcept { return replay_.accept(counter); }
  /// The same question before the work of opening; proves nothing.
  [[nodiscard]] bool may_accept(std::uint64_t counter) const noexcept {
    return replay_.may_accept(counter);
  }

 private:
  SessionKeys keys_;
  Time created_;
  std::uint64_t next_counter_ = 0;
  ReplayWindow replay_;
};

/// A peer's sessions: the one that it sends with, the one before, for packets still on their way, and
/// one that we answered but the peer has not used yet: it may not know that it exists.
///
///     we initiated:          current ─▶ previous, new ─▶ current     (where there is a next one, that
///                                                                    becomes the previous one)
///     we answered:           new ─▶ next, the previous one ends
///     a packet with next:    current ─▶ previous, next ─▶ current
///
/// `erased` is called with the local index of each session that ends.
class Sessions {
 public:
  /// Null where there is none. Whether it may still be used, is_usable() tells.
  [[nodiscard]] Session* current() const noexcept { return current_.get(); }
  [[nodiscard]] Session* next() const noexcept { return next_.get(); }
  [[nodiscard]] Session* previous() const noexcept { return previous_.get(); }
  [[nodiscard]] Session* find(std::uint32_t local_index) const noexcept {
    for (auto* session : {current_.get(), next_.get(), previous_.get()}) {
      if (session != nullptr && session->local_index() == local_index) return session;
    }
    return nullptr;
  }

  /// Throws std::bad_alloc.
  template <class Erased>
  void add(const SessionKeys& keys, Time now, Erased&& erased) {
    auto session = crypto::make_locked<Session>(keys, now);
    if (!keys.initiator) {
      replace(next_, std::move(session), erased);
      replace(previous_, nullptr, erased);
      return;
    }
    auto& last = next_ ? next_ : current_;
    replace(previous_, std::move(last), erased);
    replace(current_, std::move(session), erased);
  }

  /// A genuine packet came with this session. True where it is the first one, of a session that we
  /// answered: the handshake is complete, what waits may be sent.
  template <class Erased>
  bool received(const Session& session, Erased&& erased) noexcept {
    if (&session != next_.get()) return false;
    replace(previous_, std::move(current_), erased);
    current_ = std::move(next_);
    return true;
  }

  template <class Erased>
  void clear(Erased&& erased) noexcept {
    for (auto* slot : {&current_, &next_, &previous_}) replace(*slot, nullptr, erased);
  }

 private:
  using Slot = crypto::Locked<Session>;

  template <class Erased>
  static void replace(Slot& slot, Slot session, Erased&& erased) noexcept {
    if (slot) erased(slot->local_index());
    slot = std::move(session);
  }

  Slot current_;
  Slot next_;
  Slot previous_;
};

}  // namespace warren::wireguard
