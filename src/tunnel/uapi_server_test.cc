#include "tunnel/uapi_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <future>
#include <thread>

namespace warren::tunnel {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using wireguard::SecretText;

/// A directory that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = std::filesystem::temp_directory_path() / "uapi.XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string socket() const { return path_ / "wireguard" / "wg0.sock"; }

 private:
  std::filesystem::path path_;
};

Fd call(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    fd.close();
  return fd;
}

void say(const Fd& fd, std::string_view text) {
  while (!text.empty()) {
    const auto size = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
    if (size <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
}

/// `answers` of them, or what came before the end.
std::string hear(const Fd& fd, int answers = 1) {
  std::string heard;
  std::array<char, 65536> buffer;
  for (std::size_t from = 0; answers > 0;) {
    if (const auto end = heard.find("\n\n", from); end != std::string::npos) {
      from = end + 2;
      --answers;
      continue;
    }
    const auto size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (size <= 0) break;
    heard.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return heard;
}

/// A server on a loop that runs in a thread of its own, for an interface that is a plain value.
class UapiServerTest : public ::testing::Test {
 protected:
  void SetUp() override { serve(listen_uapi(folder_.socket())); }
  void TearDown() override { stop(); }

  void serve(Result<Fd> listener) {
    ASSERT_TRUE(listener) << listener.error().message;
    std::promise<Result<>> started;
    auto future = started.get_future();
    thread_ = std::thread([this, &started, fd = std::move(*listener)]() mutable {
      auto loop = Loop::create();
      loop_ = loop->get();
      auto server =
          UapiServer::create(**loop, std::move(fd),
                             {[this](SecretText& out) { out += answer_; },
                              [this](const wireguard::DeviceConfig& config) { return set(config); },
                              [this] {
                                removed_ = true;
                                loop_->stop();
                              }});
      if (!server) return started.set_value(tl::unexpected(server.error()));
      started.set_value({});
      EXPECT_TRUE(loop_->run());
    });
    const auto result = future.get();
    ASSERT_TRUE(result) << result.error().message;
  }

  void stop() {
    if (!thread_.joinable()) return;
    if (!removed_) loop_->stop();
    thread_.join();
  }

  Result<> set(const wireguard::DeviceConfig& config) {
    if (config.listen_port == 1) return fail("port 1 is taken", EADDRINUSE);
    if (config.listen_port == 2) return fail("no errno");
    if (config.listen_port == 3) throw std::bad_alloc();
    peers_ += config.peers.size();
    return {};
  }

  Folder folder_;
  SecretText answer_ = "listen_port=51820\n";
  std::size_t peers_ = 0;
  std::atomic<bool> removed_ = false;
  Loop* loop_ = nullptr;
  std::thread thread_;
};

TEST_F(UapiServerTest, AnswersGetAndSet) {
  const auto client = call(folder_.socket());
  say(client, "get=1\n\n");
  EXPECT_EQ(hear(client), "listen_port=51820\nerrno=0\n\n");
  say(client, "set=1\nlisten_port=4\n\n");
  EXPECT_EQ(hear(client), "errno=0\n\n");
}

TEST_F(UapiServerTest, AnswersErrno) {
  const auto client = call(folder_.socket());
  const auto ask = [&](std::string_view text) {
    say(client, text);
    return hear(client);
  };
  EXPECT_EQ(ask("set=1\nlisten_port=1\n\n"), fmt::format("errno=-{}\n\n", EADDRINUSE));
  EXPECT_EQ(ask("set=1\nlisten_port=2\n\n"), fmt::format("errno=-{}\n\n", EIO));
  EXPECT_EQ(ask("set=1\nlisten_port=3\n\n"), fmt::format("errno=-{}\n\n", ENOMEM));
  EXPECT_EQ(ask("set=1\nlisten_port=x\n\n"), fmt::format("errno=-{}\n\n", EINVAL));
  EXPECT_EQ(ask("set=1\nprivate_key=12\n\n"), fmt::format("errno=-{}\n\n", EINVAL));
  EXPECT_EQ(ask("set=1\nlisten_port\n\n"), fmt::format("errno=-{}\n\n", EPROTO));
  EXPECT_EQ(ask("get=2\n\n"), fmt::format("errno=-{}\n\n", EPROTO));
  EXPECT_EQ(ask("get=1\n\n"), "listen_port=51820\nerrno=0\n\n");
}

TEST_F(UapiServerTest, IsForItsUserAlone) {
  struct stat status{};
  ASSERT_EQ(::stat(folder_.socket().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(UapiServerTest, TakesRequestsInPiecesAndInARow) {
  const auto client = call(folder_.socket());
  for (const char byte : std::string_view("set=1\nlisten_port=4\n\n")) say(client, {&byte, 1});
  EXPECT_EQ(hear(client), "errno=0\n\n");
  std::string many;
  constexpr int count = 20'000;
  for (int i = 0; i < count; ++i) many += "get=1\n\n";
  std::thread sender([&] { say(client, many); });
  const auto heard = hear(client, count);
  sender.join();
  EXPECT_EQ(heard.size(), std::string_view("listen_port=51820\nerrno=0\n\n").size() * count);
}

TEST_F(UapiServerTest, AnswersWhoSaysNoMore) {
  const auto client = call(folder_.socket());
  say(client, "get=1\n\n");
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(hear(client, 2), "listen_port=51820\nerrno=0\n\n");
}

TEST_F(UapiServerTest, HalfARequestDoesNothing) {
  const auto client = call(folder_.socket());
  say(client, fmt::format("set=1\npublic_key={:064}\n", 7));
  ::shutdown(client.get(), SHUT_WR);
  EXPECT_EQ(hear(client), "");
  stop();
  EXPECT_EQ(peers_, 0U);
}

TEST_F(UapiServerTest, TakesSixtyThousandPeersAtOnce) {
  std::string text = "set=1\nreplace_peers=true\n";
  for (int i = 1; i <= 65535; ++i)
    text += fmt::format("public_key={:064x}\nallowed_ip=10.{}.{}.{}/32\n", i, i >> 16, i >> 8 & 255,
                        i & 255);
  const auto client = call(folder_.socket());
  say(client, text + "\n");
  EXPECT_EQ(hear(client), "errno=0\n\n");
  stop();
  EXPECT_EQ(peers_, 65535U);
}

TEST_F(UapiServerTest, NobodyWaitsForASlowClient) {
  stop();
  answer_.assign(std::size_t{8} << 20, 'x');
  answer_ += '\n';
  serve(listen_uapi(folder_.socket()));
  const auto slow = call(folder_.socket());
  say(slow, "get=1\n\n");
  const auto silent = call(folder_.socket());
  const auto quick = call(folder_.socket());
  for (int i = 0; i < 3; ++i) {
    say(quick, "set=1\n\n");
    EXPECT_EQ(hear(quick), "errno=0\n\n");
  }
  const auto heard = hear(slow);
  EXPECT_EQ(heard.size(), answer_.size() + std::string_view("errno=0\n\n").size());
  EXPECT_THAT(heard, EndsWith("x\nerrno=0\n\n"));
}

TEST_F(UapiServerTest, SilentClientsMakeRoom) {
  std::vector<Fd> silent;
  for (std::size_t i = 0; i < 2 * UapiServer::max_clients; ++i)
    silent.push_back(call(folder_.socket()));
  const auto client = call(folder_.socket());
  say(client, "get=1\n\n");
  EXPECT_THAT(hear(client), HasSubstr("errno=0"));
  EXPECT_EQ(hear(silent.front()), "");  // it was dropped
}

TEST_F(UapiServerTest, EndsAnEndlessRequest) {
  const auto client = call(folder_.socket());
  const std::string line(1 << 20, 'x');
  say(client, "set=1\n");
  for (std::size_t sent = 0; sent <= 2 * UapiServer::max_request; sent += line.size())
    say(client, line);
  EXPECT_EQ(hear(client), "");
  const auto other = call(folder_.socket());
  say(other, "get=1\n\n");
  EXPECT_THAT(hear(other), HasSubstr("errno=0"));
}

TEST_F(UapiServerTest, EndsWhenItsFileIsRemoved) {
  const auto other = folder_.socket() + ".other";
  const Fd file(::open(other.c_str(), O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
  ASSERT_EQ(::unlink(other.c_str()), 0);
  const auto client = call(folder_.socket());
  say(client, "get=1\n\n");
  EXPECT_THAT(hear(client), HasSubstr("errno=0"));
  EXPECT_FALSE(removed_);
  ASSERT_EQ(::unlink(folder_.socket().c_str()), 0);
  thread_.join();
  EXPECT_TRUE(removed_);
}

TEST_F(UapiServerTest, LeavesAnothersFileAlone) {
  ASSERT_EQ(::unlink(folder_.socket().c_str()), 0);
  thread_.join();
  const auto other = listen_uapi(folder_.socket());
  ASSERT_TRUE(other);
  EXPECT_TRUE(call(folder_.socket()));
}

TEST_F(UapiServerTest, TakesAListenerThatWaits) {
  stop();
  auto listener = listen_uapi(folder_.socket());
  ASSERT_TRUE(listener);
  ASSERT_EQ(::fcntl(listener->get(), F_SETFL, 0), 0);
  serve(std::move(listener));
  const auto client = call(folder_.socket());
  say(client, "get=1\n\n");
  EXPECT_EQ(hear(client), "listen_port=51820\nerrno=0\n\n");
}

TEST_F(UapiServerTest, RemovesItsFile) {
  stop();
  EXPECT_FALSE(std::filesystem::exists(folder_.socket()));
}

TEST(ListenUapi, ReplacesWhatAKilledProcessLeft) {
  const Folder folder;
  listen_uapi(folder.socket()).value().close();
  EXPECT_FALSE(call(folder.socket()));
  const auto listener = listen_uapi(folder.socket());
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(call(folder.socket()));
}

TEST(ListenUapi, RefusesTheSocketOfALivingProcess) {
  const Folder folder;
  const auto first = listen_uapi(folder.socket());
  ASSERT_TRUE(first);
  const auto second = listen_uapi(folder.socket());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE);
  EXPECT_TRUE(call(folder.socket()));
}

TEST(ListenUapi, SaysWhatIsWrong) {
  const auto nowhere = listen_uapi("/nonexistent/wireguard/wg0.sock");
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.error().message, HasSubstr("/nonexistent/wireguard"));
  EXPECT_EQ(nowhere.error().code, ENOENT);
}

TEST(UapiServer, TakesOnlyAListener) {
  auto loop = Loop::create();
  ASSERT_TRUE(loop);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_FALSE(UapiServer::create(**loop, std::move(fd), {}));
}

}  // namespace
}  // namespace warren::tunnel
