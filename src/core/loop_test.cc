#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <warren/loop.h>

namespace warren {
namespace {

// Every test runs on both backends; io_uring is left out, loudly, where the kernel lacks it.
class LoopTest : public testing::TestWithParam<Loop::Backend> {
 protected:
  void SetUp() override {
    auto loop = Loop::create(GetParam());
    if (!loop && GetParam() == Loop::Backend::io_uring) GTEST_SKIP() << loop.error().message;
    ASSERT_TRUE(loop) << loop.error().message;
    loop_ = std::move(*loop);
  }
  std::unique_ptr<Loop> loop_;
};

// A pair of datagram sockets keeps the boundaries of packets, as a TUN device does.
struct Pair {
  Pair() {
    int fds[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    ours = Fd(fds[0]);
    theirs = Fd(fds[1]);
  }
  Fd ours;
  Fd theirs;
};

struct Collector : PacketReceiver {
  explicit Collector(Loop& event_loop) : loop(event_loop) {}
  void on_packets(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size(); ++i) {
      const auto bytes = batch.bytes(i);
      packets.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      headers.push_back(batch.offload(i));
    }
    batch.clear();
    if (packets.size() >= wanted) loop.stop();
  }
  void on_stream_end(int error) noexcept override {
    ended_with = error;
    loop.stop();
  }
  Loop& loop;
  std::size_t wanted = 1;
  std::vector<std::string> packets;
  std::vector<OffloadHeader> headers;
  int ended_with = 0;
};

TEST_P(LoopTest, ReadsPacketsInOrderAndMoreThanThereAreBuffers) {
  Pair pair;
  Collector collector(*loop_);
  constexpr std::size_t total = 2000;
  collector.wanted = total;
  Counters read, written;
  auto stream = loop_->open_stream({pair.ours.get(), false, &collector, &read, &written});
  ASSERT_TRUE(stream) << stream.error().message;
  std::thread sender([&] {
    for (std::size_t i = 0; i < total;) {
      const auto text = "packet " + std::to_string(i);
      if (::send(pair.theirs.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0)
        ++i;
      else
        std::this_thread::yield();
    }
  });
  ASSERT_TRUE(loop_->run());
  sender.join();
  ASSERT_EQ(collector.packets.size(), total);
  for (std::size_t i = 0; i < total; ++i)
    ASSERT_EQ(collector.packets[i], "packet " + std::to_string(i));
}

TEST_P(LoopTest, CarriesTheOffloadHeaderBothWays) {
  Pair pair;
  Collector collector(*loop_);
  Counters read, written;
  auto stream = loop_->open_stream({pair.ours.get(), true, &collector, &read, &written});
  ASSERT_TRUE(stream);

  Packet packet = loop_->pool().allocate();
  packet.resize(5);
  std::memcpy(packet.data(), "hello", 5);
  packet.offload().gso_type = OffloadHeader::gso_tcp4;
  packet.offload().gso_size = 1448;
  const auto header = packet.offload();
  Batch batch;
  batch.push(std::move(packet));
  (*stream)->write(batch);
  EXPECT_TRUE(batch.empty());

  char wire[64];
  ASSERT_EQ(::recv(pair.theirs.get(), wire, sizeof wire, 0), 15);
  EXPECT_EQ(std::memcmp(wire, &header, sizeof header), 0);
  EXPECT_EQ(std::string_view(wire + 10, 5), "hello");
  // A packet shorter than its header is malformed: counted, and the next one is read.
  ASSERT_EQ(::send(pair.theirs.get(), wire, 4, 0), 4);
  ASSERT_EQ(::send(pair.theirs.get(), wire, 15, 0), 15);
  ASSERT_TRUE(loop_->run());
  ASSERT_EQ(collector.packets.size(), 1U);
  EXPECT_EQ(collector.packets[0], "hello");
  EXPECT_EQ(collector.headers[0], header);
  EXPECT_EQ(read.dropped(DropReason::malformed), 1U);
}

TEST_P(LoopTest, CountsWhatTheKernelRefuses) {
  Pair pair;
  Collector collector(*loop_);
  Counters read, written;
  auto stream = loop_->open_stream({pair.ours.get(), false, &collector, &read, &written});
  ASSERT_TRUE(stream);
  std::uint64_t sent = 0;
  while (written.dropped() == 0) {
    Batch batch;
    for (int i = 0; i < 3; ++i) {
      Packet packet = loop_->pool().allocate();
      ASSERT_TRUE(packet);
      packet.resize(1000);
      std::memset(packet.data(), 0, 1000);
      batch.push(std::move(packet));
    }
    (*stream)->write(batch);
    ASSERT_LT(++sent, 1000000U);
    // Refusals on a ring arrive in the loop.
    collector.loop.stop();
    ASSERT_TRUE(loop_->run());
  }
  EXPECT_LE(written.dropped(DropReason::queue_full), 3U);
  EXPECT_EQ(written.dropped(), written.dropped(DropReason::queue_full));
}

TEST_P(LoopTest, TimersRunInTheirOrderOnceAndCanBeCancelled) {
  std::string order;
  Timer first(*loop_, [&] { order += "1"; });
  Timer second(*loop_, [&] {
    order += "2";
    loop_->stop();
  });
  Timer cancelled(*loop_, [&] { order += "x"; });
  using namespace std::chrono_literals;
  second.set(Clock::now() + 3ms);
  first.set(Clock::now() + 1ms);
  cancelled.set(Clock::now() + 2ms);
  cancelled.cancel();
  {
    Timer destroyed(*loop_, [&] { order += "y"; });
    destroyed.set(Clock::now() + 1ms);
  }
  ASSERT_TRUE(loop_->run());
  EXPECT_EQ(order, "12");
}

TEST_P(LoopTest, AWatchRepeatsWhileTheDescriptorIsReadyAndMayDestroyItself) {
  Fd event(::eventfd(3, EFD_NONBLOCK | EFD_SEMAPHORE | EFD_CLOEXEC));
  int calls = 0;
  std::unique_ptr<Loop::Watch> watch;
  auto made = loop_->watch(event.get(), [&] {
    eventfd_t value;
    ASSERT_EQ(::eventfd_read(event.get(), &value), 0);
    if (++calls == 2) {
      watch.reset();
      loop_->stop();
    }
  });
  ASSERT_TRUE(made);
  watch = std::move(*made);
  ASSERT_TRUE(loop_->run());
  EXPECT_EQ(calls, 2);
}

// What a reload does: a watch's callback takes away a stream that has packets waiting.
TEST_P(LoopTest, StreamsMayDieInACallbackWhilePacketsWait) {
  Pair control;
  Pair doomed;
  Pair kept;
  Collector never(*loop_);
  never.wanted = 1000;
  Collector collector(*loop_);
  collector.wanted = 2;
  Counters counters[4];
  auto doomed_stream =
      loop_->open_stream({doomed.ours.get(), false, &never, &counters[0], &counters[1]});
  auto kept_stream =
      loop_->open_stream({kept.ours.get(), false, &collector, &counters[2], &counters[3]});
  ASSERT_TRUE(doomed_stream && kept_stream);
  auto watch = loop_->watch(control.ours.get(), [&] {
    char byte;
    ASSERT_EQ(::recv(control.ours.get(), &byte, 1, 0), 1);
    doomed_stream->reset();
  });
  ASSERT_TRUE(watch);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(::send(doomed.theirs.get(), "x", 1, 0), 1);
  ASSERT_EQ(::send(kept.theirs.get(), "1", 1, 0), 1);
  ASSERT_EQ(::send(control.theirs.get(), "c", 1, 0), 1);
  ASSERT_EQ(::send(kept.theirs.get(), "2", 1, 0), 1);
  ASSERT_TRUE(loop_->run());
  EXPECT_EQ(collector.packets, (std::vector<std::string>{"1", "2"}));
}

/// Its socket is never empty: each packet is sent again, up to a limit.
struct Echo : PacketReceiver {
  Echo(Pair& own, Pair& other) : pair(own), quiet(other) {}
  void on_packets(Batch& batch) noexcept override {
    for (std::size_t i = 0; i < batch.size() && count < limit; ++i, ++count)
      EXPECT_EQ(::send(pair.theirs.get(), "busy", 4, 0), 4);
    if (!asked && count >= 100) asked = ::send(quiet.theirs.get(), "quiet", 5, 0) == 5;
    batch.clear();
  }
  void on_stream_end(int error) noexcept override { ADD_FAILURE() << error; }
  static constexpr std::size_t limit = 20000;
  Pair& pair;
  Pair& quiet;
  std::size_t count = 0;
  bool asked = false;
};

TEST_P(LoopTest, ABusyStreamDoesNotKeepOthersWaiting) {
  Pair busy, quiet;
  Echo echo(busy, quiet);
  Collector collector(*loop_);
  Counters read, written;
  auto first = loop_->open_stream({busy.ours.get(), false, &echo, &read, &written});
  auto second = loop_->open_stream({quiet.ours.get(), false, &collector, &read, &written});
  ASSERT_TRUE(first);
  ASSERT_TRUE(second);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(::send(busy.theirs.get(), "busy", 4, 0), 4);
  ASSERT_TRUE(loop_->run());
  EXPECT_EQ(collector.packets, std::vector<std::string>{"quiet"});
  EXPECT_LT(echo.count, Echo::limit);
}

TEST_P(LoopTest, StopsFromAnotherThread) {
  std::thread other([&] { loop_->stop(); });
  ASSERT_TRUE(loop_->run());
  other.join();
}

INSTANTIATE_TEST_SUITE_P(Backends, LoopTest,
                         testing::Values(Loop::Backend::io_uring, Loop::Backend::epoll),
                         [](const auto& backend) {
                           return backend.param == Loop::Backend::epoll ? "epoll" : "io_uring";
                         });

}  // namespace
}  // namespace warren
