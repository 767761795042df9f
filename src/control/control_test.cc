// An instance and its clients over a real socket: the loop runs in a thread of its own, as the
// instance is a process of its own.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

#include "control/client.h"
#include "control/instance.h"
#include "control/notify.h"
#include "control/server.h"
#include "control/service.h"

namespace warren::control {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using namespace std::chrono_literals;

template <class T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

/// A run directory of its own for each test.
class RunDirectory : public testing::Test {
 public:
  RunDirectory() {
    if (::mkdtemp(directory_.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    ::setenv("WARREN_RUN_DIR", directory_.c_str(), 1);
  }
  ~RunDirectory() override {
    ::unsetenv("WARREN_RUN_DIR");
    std::filesystem::remove_all(directory_);
  }

 protected:
  std::string directory_ = testing::TempDir() + "warren-XXXXXX";
};

using InstanceTest = RunDirectory;

TEST_F(InstanceTest, TheNameIsFreeAgainWhenTheOwnerEnds) {
  {
    const auto owner = value_of(Instance::claim("home"));
    EXPECT_FALSE(owner.replaced_killed());
    EXPECT_THAT(running_instances(), testing::ElementsAre("home"));
  }
  EXPECT_TRUE(running_instances().empty());
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
  EXPECT_FALSE(value_of(Instance::claim("home")).replaced_killed());
}

TEST_F(InstanceTest, ASecondOwnerLearnsWhoTheFirstIs) {
  const auto owner = value_of(Instance::claim("home"));
  const auto second = Instance::claim("home");
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_TRUE(Instance::claim("other"));
}

TEST_F(InstanceTest, WhatAKilledProcessLeftIsReplaced) {
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto owner = Instance::claim("home");
    std::ofstream(socket_path("home")) << "left behind";
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(std::filesystem::exists(socket_path("home")));
  EXPECT_TRUE(running_instances().empty());
  EXPECT_TRUE(wait_until_gone("home", 0ms));
  const auto next = Instance::claim("home");
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->replaced_killed());
  EXPECT_FALSE(std::filesystem::exists(socket_path("home")));
}

TEST_F(InstanceTest, WhatAKilledProcessHadOthersDoComesToItsEndFirst) {
  std::array<int, 2> work{};
  ASSERT_EQ(::pipe2(work.data(), O_CLOEXEC), 0);
  const auto child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const auto owner = Instance::claim("home");
    ::dup2(work[0], STDIN_FILENO);
    // It inherits the lock, and works until its input ends.
    if (::fork() == 0) ::execlp("cat", "cat", nullptr);
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_FALSE(Instance::claim("home"));
  ::close(work[0]);
  ::close(work[1]);
  EXPECT_TRUE(Instance::claim("home", 20s));
}

TEST_F(InstanceTest, NamesThatCannotBeFiles) {
  for (const auto* name : {"", "a/b", "..", ".hidden", "-x", "a b"})
    EXPECT_FALSE(Instance::claim(name)) << name;
}

/// Two ports that lead nowhere.
class TestNode final : public Node {
 public:
  explicit TestNode(std::string name) : Node(std::move(name)) {}
  std::string_view kind() const noexcept override { return "test"; }
  std::vector<Port*> ports() override { return {&port_}; }
  std::vector<std::pair<std::string, std::string>> details() const override {
    return {{"color", "bl\xff"}};
  }

 private:
  struct TestPort final : Port {
    using Port::Port;
    void receive(Batch& batch) noexcept override { batch.clear(); }
    Capabilities capabilities() const noexcept override { return {}; }
  };
  TestPort port_{"port"};
};

class TestConfig final : public NodeConfig {
 public:
  std::string_view kind() const noexcept override { return "test"; }
  bool equals(const NodeConfig&) const override { return true; }
  Result<std::unique_ptr<Node>> create(const std::string& name, Loop&) const override {
    return std::make_unique<TestNode>(name);
  }
};

class ControlTest : public RunDirectory, public testing::WithParamInterface<Loop::Backend> {
 protected:
  // A loop belongs to one thread, so all that lives on it is made and unmade there.
  void SetUp() override {
    std::promise<std::string> ready;
    thread_ = std::thread([this, &ready] { serve(ready); });
    if (const auto error = ready.get_future().get(); !error.empty()) GTEST_SKIP() << error;
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    if (loop_ != nullptr) loop_->stop();
    thread_.join();
  }
  void serve(std::promise<std::string>& ready) {
    auto loop = Loop::create(GetParam());
    if (!loop) return ready.set_value(loop.error().message);
    Graph graph(**loop, [](Port&, Port&) {
      return Result<std::unique_ptr<PacketSink>>(std::unique_ptr<PacketSink>());
    });
    const auto config = std::make_shared<TestConfig>();
    const auto applied = graph.apply(GraphSpec{{{"a", config}, {"b", config}}, {{"a", "b"}}});
    EXPECT_TRUE(applied);
    loop_ = loop->get();
    const Service service("home", "/etc/home.toml", **loop, graph,
                          {[this] { return reload_; }, [this] { loop_->stop(); }});
    const auto server =
        value_of(Server::listen(**loop, socket_path("home"),
                                [&](std::string_view request) { return service.handle(request); }));
    ready.set_value("");
    if (const auto done = (*loop)->run(); !done) ADD_FAILURE() << done.error().message;
  }
  Client client() { return value_of(Client::connect("home", 10s)); }
  json ask(std::string_view request) { return json::parse(value_of(client().ask(request))); }
  /// A bare connection, for clients that misbehave.
  Fd connect() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path("home").c_str(), sizeof address.sun_path - 1);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      throw std::runtime_error(std::strerror(errno));
    return fd;
  }
  /// Sends until everything is gone or the other end closed; then reads until it closes.
  static bool closed_after(const Fd& fd, std::string_view text) {
    while (!text.empty()) {
      const auto size = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (size <= 0) return true;
      text.remove_prefix(static_cast<std::size_t>(size));
    }
    std::array<char, 4096> buffer;
    for (;;) {
      const auto size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
      if (size == 0 || (size < 0 && errno == ECONNRESET)) return true;
      if (size < 0) return false;
    }
  }

  Loop* loop_ = nullptr;
  Result<> reload_;
  std::thread thread_;
};

TEST_P(ControlTest, StatusDescribesTheGraph) {
  const auto answer = ask(R"({"command":"status"})");
  ASSERT_EQ(answer["ok"], true);
  const auto& status = answer["status"];
  EXPECT_EQ(status["name"], "home");
  EXPECT_EQ(status["file"], "/etc/home.toml");
  EXPECT_EQ(status["pid"], ::getpid());
  EXPECT_EQ(status["backend"], GetParam() == Loop::Backend::epoll ? "epoll" : "io_uring");
  EXPECT_EQ(status["links"], json::parse(R"([["a","b"]])"));
  ASSERT_EQ(status["nodes"].size(), 2U);
  const auto& node = status["nodes"][0];
  EXPECT_EQ(node["kind"], "test");
  EXPECT_EQ(node["details"]["color"], "bl\xEF\xBF\xBD");  // bytes that are not UTF-8 are replaced
  EXPECT_EQ(node["ports"][0]["linked"], true);
  EXPECT_EQ(node["ports"][0]["received"]["packets"], 0);
  EXPECT_TRUE(node["ports"][0]["sent"]["drops"].empty());
}

TEST_P(ControlTest, ReloadReportsItsError) {
  EXPECT_EQ(ask(R"({"command":"reload"})"), json::parse(R"({"ok":true})"));
  TearDown();
  std::filesystem::remove(socket_path("home"));
  reload_ = fail("home.toml:1:1: no");
  SetUp();
  EXPECT_EQ(ask(R"({"command":"reload"})"),
            json::parse(R"({"ok":false,"error":"home.toml:1:1: no"})"));
}

TEST_P(ControlTest, DownAnswersAndThenClosesTheConnection) {
  auto connection = client();
  EXPECT_EQ(value_of(connection.ask(R"({"command":"down"})")), R"({"ok":true})");
  // Requests that came before the end are answered still.
  while (connection.ask(R"({"command":"status"})")) {
  }
  thread_.join();
}

TEST_P(ControlTest, WhatIsNoRequestIsRefused) {
  for (const auto* request : {"", "{", "[]", "7", "{}", R"({"command":7})", "\xff\xfe"}) {
    const auto answer = ask(request);
    EXPECT_EQ(answer["ok"], false) << request;
  }
  EXPECT_THAT(ask(R"({"command":"explode"})")["error"].get<std::string>(),
              HasSubstr("unknown command \"explode\""));
}

TEST_P(ControlTest, SeveralClientsAtOnceAndSeveralRequestsOnOneConnection) {
  auto silent = connect();
  auto first = client();
  auto second = client();
  for (int i = 0; i < 3; ++i)
    for (auto* connection : {&first, &second})
      EXPECT_EQ(json::parse(value_of(connection->ask(R"({"command":"status"})")))["ok"], true);
}

TEST_P(ControlTest, ClientsThatMisbehaveAreDroppedAndOthersServed) {
  EXPECT_TRUE(closed_after(connect(), std::string(Server::max_request + 8192, 'x')));
  EXPECT_TRUE(closed_after(connect(), std::string(Server::max_pipelined + 1, '\n')));
  std::vector<Fd> idle;
  for (std::size_t i = 0; i < Server::max_clients; ++i) idle.push_back(connect());
  auto late = client();  // one too many: it waits for its turn
  idle.clear();
  EXPECT_EQ(json::parse(value_of(late.ask(R"({"command":"status"})")))["ok"], true);
}

// Answers that do not fit into the socket's buffer arrive when the client reads at last.
TEST_P(ControlTest, AClientThatReadsLateGetsItsAnswers) {
  const auto fd = connect();
  const std::string request = "{\"command\":\"status\"}\n";
  std::size_t sent = 0;
  int waiting = 0;
  for (int before = -1; waiting != before; ++sent) {  // until nothing more fits
    before = waiting;
    ASSERT_EQ(::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL), ssize_t{21});
    ASSERT_EQ(ask(R"({"command":"status"})")["ok"],
              true);  // it took the request; others are served
    ASSERT_EQ(::ioctl(fd.get(), FIONREAD, &waiting), 0);
  }
  ASSERT_GT(sent, 10U);
  std::array<char, 65536> buffer;
  for (std::size_t answers = 0; answers < sent;) {
    const auto size = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    ASSERT_GT(size, 0) << std::strerror(errno);
    answers += static_cast<std::size_t>(std::count(buffer.data(), buffer.data() + size, '\n'));
  }
}

TEST_P(ControlTest, TheSocketIsForTheOwnerAlone) {
  struct stat status{};
  ASSERT_EQ(::stat(socket_path("home").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(InstanceTest, AClientOfNobody) {
  const auto nobody = Client::connect("home", 1s);
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("no instance \"home\" runs"));
}

INSTANTIATE_TEST_SUITE_P(Loops, ControlTest,
                         testing::Values(Loop::Backend::epoll, Loop::Backend::io_uring),
                         [](const auto& p) {
                           return p.param == Loop::Backend::epoll ? "epoll" : "io_uring";
                         });

TEST(Notify, SendsTheStateToTheServiceManager) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const std::string name = "warren-notify-" + std::to_string(::getpid());  // an abstract name
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ::setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  notify("READY=1");
  ::unsetenv("NOTIFY_SOCKET");
  std::array<char, 64> buffer;
  const auto got = ::recv(fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  ASSERT_GT(got, 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<std::size_t>(got)), "READY=1");
  notify("READY=1");  // without a manager: nothing
}

}  // namespace
}  // namespace warren::control
