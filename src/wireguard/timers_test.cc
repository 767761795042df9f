#include "wireguard/timers.h"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <optional>
#include <vector>

#include "wireguard/testing.h"

namespace warren::wireguard {
namespace {

using namespace std::chrono_literals;

using testing::World;

struct Session {
  int id;
  SessionUse use;
};

// One end of a link: the protocol's sessions without its cryptography.
class End {
 public:
  End(World& world, std::uint64_t seed) : timers(seed), world_(world) {}

  void connect(End& other, double loss) {
    other_ = &other;
    loss_ = loss;
  }
  void send_data() {
    ++offered;
    staged_.push_back(true);
    flush();
  }
  void send_keepalive() {
    if (staged_.empty()) staged_.push_back(false);
    flush();
  }

  Timers timers;
  int offered = 0;
  int delivered = 0;  // data that came from the other end
  int initiations = 0;
  int handshakes = 0;  // completed
  int dropped = 0;     // staged packets that were given up
  int erased = 0;
  int lost_contact = 0;
  Duration oldest_use{0};
  std::vector<Time> sent_at;
  std::vector<Time> initiated_at;
  [[nodiscard]] bool has_keys() const { return current_ || previous_ || next_; }
  [[nodiscard]] std::optional<Session> current() const { return current_; }

 private:
  void flush() {
    if (staged_.empty()) return;
    if (!current_ || !is_usable(current_->use, world_.now)) {
      if (timers.request_handshake(world_.now)) send_initiation();
      return watch();
    }
    for (; !staged_.empty(); staged_.pop_front()) {
      const bool data = staged_.front();
      const int id = current_->id;
      ++current_->use.sent_messages;
      oldest_use = std::max(oldest_use, world_.now - current_->use.created);
      transmit([this, id, data] { other_->receive_packet(id, data); });
      timers.sent(world_.now, data);
    }
    if (timers.renew_after_sending(current_->use, world_.now)) send_initiation();
    watch();
  }
  void send_initiation() {
    ++initiations;
    initiated_at.push_back(world_.now);
    pending_ = next_id++;
    transmit([this, id = *pending_] { other_->receive_initiation(id); });
  }
  void receive_initiation(int id) {
    next_ = Session{id, {world_.now, false, 0}};
    timers.received(world_.now, false);
    timers.session_started(world_.now);
    timers.sent(world_.now, false);
    transmit([this, id] { other_->receive_response(id); });
    watch();
  }
  void receive_response(int id) {
    if (pending_ != id) return;
    pending_.reset();
    // Where initiations crossed, the peer may use the session that it initiated.
    previous_ = next_ ? std::exchange(next_, std::nullopt) : current_;
    current_ = Session{id, {world_.now, true, 0}};
    timers.received(world_.now, false);
    timers.session_started(world_.now);
    complete();
    send_keepalive();
  }
  void complete() {
    ++handshakes;
    timers.handshake_completed();
  }
  void receive_packet(int id, bool data) {
    if (next_ && next_->id == id) {
      previous_ = std::exchange(current_, std::exchange(next_, std::nullopt));
      complete();
      flush();
    }
    const auto& session = current_ && current_->id == id     ? current_
                          : previous_ && previous_->id == id ? previous_
                                                             : std::nullopt;
    if (!session || !is_usable(session->use, world_.now)) return;
    timers.received(world_.now, data);
    delivered += data ? 1 : 0;
    if (timers.renew_after_receiving(session->use, world_.now)) send_initiation();
    watch();
  }
  void transmit(std::function<void()> arrive) {
    sent_at.push_back(world_.now);
    if (world_.chance(loss_)) return;
    const auto delay = 5ms + Duration(world_.random() % 20'000'000);
    world_.at(world_.now + delay, std::move(arrive));
  }
  // The caller's part of the contract: one scheduled look at the earliest deadline.
  void watch() {
    const auto deadline = timers.deadline();
    if (deadline >= watched_) return;
    watched_ = deadline;
    world_.at(deadline, [this, deadline] {
      if (watched_ != deadline) return;
      watched_ = never;
      if (timers.deadline() <= world_.now) act(timers.expire(world_.now));
      watch();
    });
  }
  void act(const TimerActions& actions) {
    if (actions.erase_keys) {
      current_ = previous_ = next_ = std::nullopt;
      pending_.reset();
      ++erased;
    }
    if (actions.drop_staged) {
      dropped += static_cast<int>(staged_.size());
      staged_.clear();
    }
    if (actions.lost_contact) ++lost_contact;
    if (actions.send_initiation) send_initiation();
    if (actions.send_keepalive) send_keepalive();
  }

  static inline int next_id = 1;

  World& world_;
  End* other_ = nullptr;
  double loss_ = 0;
  std::deque<bool> staged_;
  std::optional<int> pending_;
  std::optional<Session> current_;
  std::optional<Session> previous_;
  std::optional<Session> next_;
  Time watched_ = never;
};

struct Link {
  explicit Link(std::uint64_t seed, double loss = 0)
      : world(seed), a(world, seed + 1), b(world, seed + 2) {
    set_loss(loss);
  }
  void set_loss(double loss) {
    a.connect(b, loss);
    b.connect(a, loss);
  }
  // `end` offers data at random times around every `gap` from now on until `until`.
  void talk(End& end, Duration gap, Time until) {
    if (world.now > until) return;
    end.send_data();
    const auto next = world.now + gap / 2 + Duration(world.random() % gap.count());
    world.at(next, [this, &end, gap, until] { talk(end, gap, until); });
  }
  World world;
  End a;
  End b;
};

Duration shortest_gap(const std::vector<Time>& times) {
  auto shortest = Duration::max();
  for (std::size_t i = 1; i < times.size(); ++i)
    shortest = std::min(shortest, times[i] - times[i - 1]);
  return shortest;
}

TEST(Timers, BusyPeersRenewTheirSessionEveryTwoMinutesAndLoseNothing) {
  Link link(1);
  const auto end = link.world.now + 48h;
  link.talk(link.a, 1s, end);
  link.talk(link.b, 1s, end);
  link.world.run_until(end + 1min);
  EXPECT_EQ(link.b.delivered, link.a.offered);
  EXPECT_EQ(link.a.delivered, link.b.offered);
  const int expected = 48 * 3600 / 121;
  EXPECT_NEAR(link.a.handshakes, expected, expected / 50.0);
  // Both start at once, so the first handshakes may cross; later ones have one initiator.
  EXPECT_NEAR(link.a.initiations + link.b.initiations, link.a.handshakes, 3);
  EXPECT_LT(std::max(link.a.oldest_use, link.b.oldest_use), Duration(125s));
  EXPECT_EQ(link.a.lost_contact + link.b.lost_contact, 0);
}

TEST(Timers, LossyLinksKeepTheLimits) {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    const double loss = 0.08 * static_cast<double>(seed);
    Link link(seed, loss);
    const auto end = link.world.now + 24h;
    link.talk(link.a, 2s, end);
    link.talk(link.b, seed % 2 == 0 ? 40s : 3s, end);
    link.world.run_until(end + 1min);
    for (const auto* sender : {&link.a, &link.b}) {
      EXPECT_LT(sender->oldest_use, limits::reject_after_time) << "seed " << seed;
      EXPECT_GE(shortest_gap(sender->initiated_at), limits::rekey_timeout) << "seed " << seed;
    }
    // What is lost is what the link loses, and little more: sessions are renewed before they end.
    EXPECT_GT(link.b.delivered, link.a.offered * (1 - loss) * 0.95) << "seed " << seed;
    EXPECT_GT(link.a.delivered, link.b.offered * (1 - loss) * 0.95) << "seed " << seed;
  }
}

TEST(Timers, IdlePeersAreSilentAndForgetTheirKeys) {
  Link link(2);
  const auto start = link.world.now;
  link.talk(link.a, 1s, start + 30s);
  link.world.run_until(start + 48h);
  EXPECT_EQ(link.a.erased, 1);
  EXPECT_EQ(link.b.erased, 1);
  EXPECT_FALSE(link.a.has_keys());
  EXPECT_FALSE(link.b.has_keys());
  EXPECT_EQ(link.a.timers.deadline(), never);
  EXPECT_EQ(link.b.timers.deadline(), never);
  EXPECT_LT(link.a.sent_at.back(), start + 31s);
  EXPECT_LT(link.b.sent_at.back(), start + 43s) << "the last passive keepalive";
  EXPECT_EQ(link.a.handshakes, 1);
}

TEST(Timers, KeysAreErasedNineMinutesAfterTheLastHandshake) {
  Link link(3);
  const auto start = link.world.now;
  link.a.send_data();
  link.world.run_until(start + 539s);
  EXPECT_TRUE(link.a.has_keys());
  link.world.run_until(start + 541s);
  EXPECT_FALSE(link.a.has_keys());
  EXPECT_FALSE(link.b.has_keys());
  link.a.send_data();
  link.world.run_until(link.world.now + 1s);
  EXPECT_EQ(link.b.delivered, 2) << "and the link comes back when it is used";
}

TEST(Timers, OneWayTrafficIsAnsweredWithKeepalives) {
  Link link(4);
  const auto start = link.world.now;
  link.talk(link.a, 1s, start + 1h);
  link.world.run_until(start + 1h);
  EXPECT_EQ(link.a.lost_contact, 0);
  // Every 10 s one, or the part that it has in a handshake.
  for (std::size_t i = 1; i < link.b.sent_at.size(); ++i)
    EXPECT_LT(link.b.sent_at[i] - link.b.sent_at[i - 1], Duration(12s));
  EXPECT_NEAR(static_cast<double>(link.b.sent_at.size()), 3600 / 11.0 + 3600 / 120.0, 60);
  EXPECT_EQ(link.b.initiations, 0) << "the initiator renews";
}

TEST(Timers, ASilentPeerIsCalledForNinetySecondsAndThenGivenUp) {
  Link link(5, 1.0);
  const auto start = link.world.now;
  link.a.send_data();
  link.world.run_until(start + 24h);
  EXPECT_EQ(link.a.dropped, 1);
  EXPECT_EQ(link.a.initiations, 18) << "every 5 s and up to 333 ms more";
  EXPECT_LT(link.a.sent_at.back(), start + 90s);
  EXPECT_EQ(link.a.timers.deadline(), never);
  // Whoever wants to send again starts again.
  link.set_loss(0);
  link.a.send_data();
  link.world.run_until(link.world.now + 1s);
  EXPECT_EQ(link.b.delivered, 1);
}

TEST(Timers, TryingGoesOnWhileThereIsSomethingToSend) {
  Link link(6, 1.0);
  const auto start = link.world.now;
  link.talk(link.a, 20s, start + 1h);
  link.world.run_until(start + 1h);
  EXPECT_NEAR(link.a.initiations, 3600 / 5.17, 20);
  EXPECT_EQ(link.a.dropped, 0);
}

TEST(Timers, APeerThatVanishesIsMissedAfterFifteenSeconds) {
  Link link(7);
  link.talk(link.a, 1s, link.world.now + 10min);
  link.talk(link.b, 1s, link.world.now + 10min);
  link.world.run_until(link.world.now + 30s);
  EXPECT_EQ(link.a.lost_contact, 0);
  link.set_loss(1.0);
  link.world.run_until(link.world.now + 14s);
  EXPECT_EQ(link.a.lost_contact, 0);
  link.world.run_until(link.world.now + 3s);
  EXPECT_EQ(link.a.lost_contact, 1);
  link.set_loss(0);
  link.world.run_until(link.world.now + 6s);
  const int before = link.b.delivered;
  link.world.run_until(link.world.now + 10s);
  EXPECT_GT(link.b.delivered, before + 5);
}

TEST(Timers, PersistentKeepaliveLeavesNoLongerGap) {
  Link link(8);
  const auto start = link.world.now;
  if (link.a.timers.set_persistent_keepalive(25s, start)) link.a.send_keepalive();
  link.world.run_until(start + 6h);
  link.set_loss(1.0);
  link.world.run_until(start + 8h);
  link.set_loss(0);
  link.world.run_until(start + 24h);
  for (std::size_t i = 1; i < link.a.sent_at.size(); ++i)
    ASSERT_LE(link.a.sent_at[i] - link.a.sent_at[i - 1], Duration(25s))
        << (link.a.sent_at[i] - start) / 1s;
  EXPECT_GE(link.a.sent_at.back(), start + 24h - 25s);
  EXPECT_FALSE(link.a.timers.set_persistent_keepalive(30s, link.world.now)) << "it was on";
  EXPECT_FALSE(link.a.timers.set_persistent_keepalive(0s, link.world.now));
}

TEST(Timers, BothEndsMayStartAtOnce) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Link link(seed);
    const auto start = link.world.now;
    for (int i = 0; i < 5; ++i) {
      link.a.send_data();
      link.b.send_data();
    }
    link.world.run_until(start + 10s);
    EXPECT_EQ(link.a.delivered, 5) << "seed " << seed;
    EXPECT_EQ(link.b.delivered, 5) << "seed " << seed;
    EXPECT_LE(link.a.initiations + link.b.initiations, 3) << "seed " << seed;
  }
}

TEST(Timers, RenewsByCountAndStopsUsingASessionInTime) {
  Timers timers(1);
  const Time now{1h};
  const SessionUse young{now - 119s, true, limits::rekey_after_messages - 1};
  EXPECT_FALSE(timers.renew_after_sending(young, now));
  const SessionUse answered{now - 170s, false, 0};
  EXPECT_FALSE(timers.renew_after_sending(answered, now)) << "the initiator renews by time";
  EXPECT_FALSE(timers.renew_after_receiving(answered, now));
  const SessionUse full{now, false, limits::rekey_after_messages};
  EXPECT_TRUE(timers.renew_after_sending(full, now)) << "everybody renews by count";
  EXPECT_FALSE(timers.renew_after_sending(full, now)) << "but not twice in 5 s";

  EXPECT_TRUE(is_usable({now - 179s, true, 0}, now));
  EXPECT_FALSE(is_usable({now - 180s, true, 0}, now));
  EXPECT_TRUE(is_usable({now, true, limits::reject_after_messages - 1}, now));
  EXPECT_FALSE(is_usable({now, true, limits::reject_after_messages}, now));
}

TEST(Timers, RenewsOnceInTheLastMinuteOfReceiving) {
  Timers timers(1);
  const Time now{1h};
  const SessionUse session{now - 165s, true, 0};
  EXPECT_FALSE(timers.renew_after_receiving({now - 164s, true, 0}, now));
  EXPECT_TRUE(timers.renew_after_receiving(session, now));
  EXPECT_FALSE(timers.renew_after_receiving(session, now + 6s));
  timers.handshake_completed();
  EXPECT_TRUE(timers.renew_after_receiving(session, now + 12s));
}

TEST(Timers, StopDisarmsEverything) {
  Timers timers(1);
  const Time now{1h};
  EXPECT_TRUE(timers.set_persistent_keepalive(5s, now));
  EXPECT_TRUE(timers.request_handshake(now));
  timers.received(now, true);
  timers.sent(now, true);
  timers.session_started(now);
  timers.stop();
  EXPECT_EQ(timers.deadline(), never);
  EXPECT_EQ(timers.persistent_keepalive(), 5s) << "a setting, not a state";
  EXPECT_TRUE(timers.request_handshake(now)) << "at once when the interface is up again";
}

TEST(Timers, JitterSpreadsPeersThatStartTogether) {
  std::map<Duration, int> first_retries;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Timers timers(seed);
    ASSERT_TRUE(timers.request_handshake(Time{}));
    const auto delay = timers.deadline() - Time{};
    ASSERT_GE(delay, Duration(5s));
    ASSERT_LT(delay, Duration(5333ms));
    ++first_retries[delay / 33ms * 33ms];
  }
  EXPECT_GE(first_retries.size(), 10U);
}

}  // namespace
}  // namespace warren::wireguard
